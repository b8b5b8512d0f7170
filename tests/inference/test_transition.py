from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import FormatVersionError, LabelError, PromptError
from medprism.core.image import Image
from medprism.core.progress import Progress
from medprism.core.prompt import Click, Mask2d
from medprism.inference.action import (
    Action,
    Commit,
    GiveMask,
    Interact,
    Lock,
    Predict,
    Reset,
    Target,
    UseReferences,
)
from medprism.inference.annotation import Annotation, CanvasMaps, SliceResult
from medprism.inference.packed_mask import PackedMask
from medprism.inference.prediction import Ask
from medprism.inference.reference_bank import Provenance, Reference
from medprism.inference.transition import NoAnswers, Transition
from medprism.models.segmenter import Accepts
from tests.inference.fake_segmenter import CONCEPTS
from tests.inference.phantom import scene, volume

ALL = Accepts(classes=True, references=True, clicks=True)
STACK, MASKS = volume(4)
IMAGE = Image.from_array(STACK)
SHAPE = IMAGE.geometry.shape[1:]


def _plane(*rows: int) -> Mask2d:
    mask = np.zeros(SHAPE, bool)
    mask[list(rows), 4:9] = True
    return mask


class _Parrot(NoAnswers):
    """Keep the asks; the answer's row is the number of the ask."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []

    def predict(self, asks: list[Ask], progress: Progress) -> dict[tuple[str, int], SliceResult]:
        results = {}
        for ask in asks:
            mask = PackedMask.pack(_plane(len(self.asks)))
            self.asks.append(ask)
            results[ask.label, ask.slice_index] = SliceResult(
                mask, 0.25 + 0.01 * len(self.asks), CanvasMaps(0), ask.basis
            )
        return results

    def taken(self) -> list[tuple[str, int]]:
        """Return which (label, slice) were asked since the last time."""
        keys = [(ask.label, ask.slice_index) for ask in self.asks[self.seen :]]
        self.seen = len(self.asks)
        return keys

    seen = 0


def _start(accepts: Accepts = ALL) -> tuple[_Parrot, Transition, dict[str, Reference]]:
    parrot, library = _Parrot(), {}
    for seed in (7, 8):
        image, masks = scene(seed)
        reference = Reference.from_pair(Image.from_array(image), masks["liver"])
        library[reference.digest] = reference
    return parrot, Transition(CONCEPTS, accepts, library, IMAGE, parrot), library


def _do(transition: Transition, *actions: Action, start: Annotation | None = None) -> Annotation:
    annotation = start or Annotation()
    for action in actions:
        annotation = transition.apply(annotation, action)
    return annotation


def _click(label: str, slice_index: int, row: int = 3, *, predicts: bool = True) -> Interact:
    return Interact(label, ((slice_index, Click(row, 5, True)),), predicts)


def test_a_click_asks_about_its_own_slice_only() -> None:
    parrot, transition, _ = _start()
    after = _do(transition, _click("cyst", 2), _click("cyst", 1), _click("cyst", 2, row=9))
    assert parrot.taken() == [("cyst", 2), ("cyst", 1), ("cyst", 2)]
    assert len(parrot.asks[2].interactions.items) == 2
    assert parrot.asks[2].previous is not None
    assert parrot.asks[2].previous.mask == PackedMask.pack(_plane(0))
    assert sorted(after.labels["cyst"].slices) == [1, 2]


def test_clicks_without_prediction_wait_for_it() -> None:
    parrot, transition, _ = _start()
    waiting = [_click("cyst", at, predicts=False) for at in (0, 3)]
    after = _do(transition, *waiting)
    assert parrot.taken() == []
    assert after.labels["cyst"].presence == 0.0
    _do(transition, Predict((Target("cyst"),)), start=after)
    assert parrot.taken() == [("cyst", 0), ("cyst", 3)]


def test_a_class_is_asked_on_all_slices_and_kept_by_later_clicks() -> None:
    parrot, transition, _ = _start()
    after = _do(transition, Predict((Target("liver", "hepar"),)))
    assert parrot.taken() == [("liver", index) for index in range(4)]
    assert {ask.concept for ask in parrot.asks} == {0}
    _do(transition, _click("liver", 2), start=after)
    assert parrot.taken() == [("liver", 2)]
    assert parrot.asks[-1].concept == 0
    assert parrot.asks[-1].interactions.clicks


def test_references_are_asked_on_all_slices_and_kept_by_later_clicks() -> None:
    parrot, transition, library = _start()
    after = _do(
        transition,
        UseReferences("cyst", tuple(library)),
        Predict((Target("cyst"),)),
        _click("cyst", 1),
    )
    assert parrot.taken() == [*(("cyst", index) for index in range(4)), ("cyst", 1)]
    for ask in parrot.asks:
        assert {reference.digest for reference, _ in ask.references} == set(library)
    assert after.bank.labels == ("cyst",)


def test_the_last_word_on_what_to_look_for_wins() -> None:
    parrot, transition, library = _start()
    by_class = Predict((Target("liver", "liver"),))
    after = _do(transition, by_class, UseReferences("liver", tuple(library)), _click("liver", 0))
    assert parrot.asks[-1].concept is None
    assert parrot.asks[-1].references
    again = _do(transition, by_class, _click("liver", 3), start=after)
    assert parrot.asks[-1].concept == 0
    assert parrot.asks[-1].references == ()
    _do(transition, Predict((Target("liver"),)), start=again)
    assert parrot.asks[-1].references


def test_asking_again_with_nothing_new_asks_nothing() -> None:
    parrot, transition, library = _start()
    predict = Predict((Target("cyst"), Target("liver", "liver")))
    after = _do(transition, _click("cyst", 1), predict, predict)
    assert len(parrot.taken()) == 1 + 4
    changed = _do(transition, UseReferences("cyst", tuple(library)), predict, start=after)
    assert parrot.taken() == [("cyst", index) for index in range(4)]
    _do(transition, _click("liver", 3, predicts=False), predict, start=changed)
    assert parrot.taken() == [("liver", 3)]


def test_a_given_mask_is_kept_until_something_else_is_known() -> None:
    parrot, transition, _ = _start()
    given = PackedMask.pack(_plane(50))
    after = _do(transition, GiveMask("cyst", ((2, given),)), Predict((Target("cyst"),)))
    assert parrot.taken() == []
    result = after.labels["cyst"].on(2).result
    assert result is not None
    assert result.mask == given
    _do(transition, _click("cyst", 2), start=after)
    assert parrot.asks[-1].previous == result


def test_a_model_without_references_is_not_given_any() -> None:
    clicks_only = Accepts(classes=False, references=False, clicks=True)
    parrot, transition, library = _start(clicks_only)
    _do(transition, UseReferences("cyst", tuple(library)), _click("cyst", 0))
    assert parrot.asks[-1].references == ()


def _accepted(*rows: int, slice_index: int = 1) -> Reference:
    stack = np.zeros(IMAGE.geometry.shape, bool)
    stack[slice_index] = _plane(*rows)
    return Reference.from_pair(IMAGE, stack, Provenance(is_commit=True))


def test_a_commit_keeps_the_accepted_mask_and_makes_it_an_example_elsewhere() -> None:
    parrot, transition, library = _start()
    accepted = _accepted(60, 61)
    library[accepted.digest] = accepted
    after = _do(transition, _click("cyst", 1), _click("cyst", 2), Commit("cyst", accepted.digest))
    state = after.labels["cyst"]
    assert state.is_locked
    shown = [after.mask_on("cyst", index) for index in (1, 2)]
    np.testing.assert_array_equal(shown[0], _plane(60, 61))
    assert shown[1] is None
    assert [one.digest for one in after.bank.of("cyst")] == [accepted.digest]
    assert transition.examples(after, "cyst", 1) == ()
    assert transition.examples(after, "cyst", 3) == ((accepted, (1,)),)
    _do(transition, Lock("cyst", False), _click("cyst", 1), start=after)
    assert parrot.asks[-1].references == ()
    previous = parrot.asks[-1].previous
    assert previous is not None
    np.testing.assert_array_equal(previous.mask.unpack(), _plane(60, 61))


def test_the_same_image_given_as_an_example_stays_one() -> None:
    _, transition, library = _start()
    given = Reference.from_pair(IMAGE, MASKS["liver"])
    library[given.digest] = given
    after = _do(transition, UseReferences("liver", (given.digest,)))
    assert transition.examples(after, "liver", 2) == ((given, (0, 1, 2, 3)),)


def test_locked_labels_keep_others_out_and_stay_as_they_are() -> None:
    _, transition, _ = _start()
    first = GiveMask("first", ((1, PackedMask.pack(_plane(5, 6, 7))),))
    second = GiveMask("second", ((1, PackedMask.pack(_plane(7, 8))),))
    before = _do(transition, first, second)
    locked = _do(transition, Lock("first", True), start=before)
    np.testing.assert_array_equal(locked.mask_on("first", 1), _plane(5, 6, 7))
    np.testing.assert_array_equal(locked.mask_on("second", 1), _plane(8))
    both = _do(transition, Lock("second", True), Lock("first", False), start=locked)
    np.testing.assert_array_equal(both.mask_on("second", 1), _plane(8))
    np.testing.assert_array_equal(both.mask_on("first", 1), _plane(5, 6, 7))
    np.testing.assert_array_equal(before.mask_on("second", 1), _plane(7, 8))


def test_what_locked_labels_hold_is_told_to_the_model() -> None:
    parrot, transition, _ = _start()
    held = GiveMask("held", ((1, PackedMask.pack(_plane(5))),))
    _do(transition, held, Lock("held", True), _click("cyst", 1), _click("cyst", 2))
    np.testing.assert_array_equal(parrot.asks[0].taken, _plane(5))
    assert parrot.asks[1].taken is None


def test_reset_keeps_locked_labels_and_references() -> None:
    _, transition, library = _start()
    after = _do(
        transition,
        UseReferences("cyst", tuple(library)),
        _click("cyst", 1),
        _click("kept", 1),
        Lock("kept", True),
        Reset(),
    )
    assert tuple(after.labels) == ("kept",)
    assert len(after.bank) == 2


def test_an_action_leaves_the_former_annotation_as_it_was() -> None:
    _, transition, library = _start()
    before = _do(transition, _click("cyst", 1))
    labels, state = dict(before.labels), before.labels["cyst"]
    _do(transition, _click("cyst", 1), UseReferences("cyst", tuple(library)), Reset(), start=before)
    assert before.labels == labels
    assert before.labels["cyst"] is state
    assert len(before.bank) == 0


def test_what_cannot_be_done_is_said() -> None:
    _, transition, _ = _start()
    with pytest.raises(PromptError, match="outside the slice"):
        _do(transition, _click("cyst", 1, row=SHAPE[0]))
    with pytest.raises(LabelError, match="unknown class 'spleen'"):
        _do(transition, Predict((Target("spleen", "spleen"),)))
    with pytest.raises(FormatVersionError, match="not in the work file"):
        _do(transition, UseReferences("cyst", ("f" * 64,)))
    for action in (Lock("cyst", True), Lock("cyst", False)):
        with pytest.raises(LabelError, match="no label 'cyst' on this image; there is none"):
            _do(transition, action)
