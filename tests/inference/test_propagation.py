from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from medprism.core.errors import CancelledError, LabelError, PromptError
from medprism.core.progress import Progress
from medprism.inference.annotation import SliceResult
from medprism.inference.prediction import Ask, Predictor
from medprism.inference.propagation import propagate
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

STACK, MASKS = volume(6)
Results = dict[tuple[str, int], SliceResult]


class Stop:
    def report(self, done: int, total: int, message: str = "") -> None:
        pass

    def is_cancelled(self) -> bool:
        return True


@pytest.fixture
def session() -> Session:
    opened = Session(fake_model())
    opened.set_image(STACK)
    return opened


def test_one_slice_is_carried_to_all_others_in_one_step(session: Session) -> None:
    session.add_initial_seg_interaction(MASKS["liver"][2], "liver", slice_index=2)
    found = propagate(session, "liver")
    assert found.sources == (2,)
    assert (found.first, found.last) == (0, 5)
    assert dice(session.mask("liver"), MASKS["liver"]) > 0.85
    assert np.array_equal(session.mask("liver", slice_index=2), MASKS["liver"][2])
    assert found.confidence[2] == 1.0
    assert all(0 < one < 1 for index, one in enumerate(found.confidence) if index != 2)
    assert found.least_certain == int(np.argmin(found.confidence))
    assert session.undo()
    assert not session.mask("liver")[3].any()
    assert session.mask("liver")[2].any()


def test_it_ends_where_the_structure_ends(session: Session) -> None:
    # The polyp is on slices 0 and 1 only.
    session.add_initial_seg_interaction(MASKS["polyp"][0], "polyp", slice_index=0)
    found = propagate(session, "polyp")
    assert (found.first, found.last) == (0, 1)
    assert not session.mask("polyp")[2:].any()
    assert all(one > 0.5 for one in found.confidence[3:])


def test_what_lies_beyond_a_gap_is_dropped(session: Session) -> None:
    stack = STACK.copy()
    stack[3] = 40
    session.set_image(stack)
    session.add_initial_seg_interaction(MASKS["liver"][1], "liver", slice_index=1)
    found = propagate(session, "liver")
    assert (found.first, found.last) == (0, 2)
    assert not session.mask("liver")[3:].any()
    both = propagate(session, "liver", sources=(0, 1))
    assert both.sources == (0, 1)


def test_clicked_slices_are_sources_and_predicted_ones_are_not(session: Session) -> None:
    session.predict(classes=["liver"])
    session.add_point_interaction((4, 30, 42), True, "liver")
    assert propagate(session, "liver").sources == (4,)


def test_what_was_found_is_the_example_of_the_next_slice(session: Session) -> None:
    # The last slice is too bright for the first one's example, but not for its neighbour's.
    stack = np.full((6, 70, 90), 20, np.uint8)
    for index in range(6):
        stack[index, 20:50, 30:70] = 110 + 11 * index // 2
    truth = stack > 60
    session.set_image(stack)
    session.add_initial_seg_interaction(truth[0], "mass", slice_index=0)
    propagate(session, "mass")
    assert dice(session.mask("mass")[5], truth[5]) < 0.5
    assert session.undo()
    found = propagate(session, "mass", through_found=True)
    assert (found.first, found.last) == (0, 5)
    assert dice(session.mask("mass")[5], truth[5]) > 0.8


def test_slices_are_those_of_a_session_with_the_sources_as_references(session: Session) -> None:
    session.add_initial_seg_interaction(MASKS["liver"][2], "liver", slice_index=2)
    propagate(session, "liver")
    other = Session(fake_model())
    other.set_image(STACK)
    other.set_references([STACK], [_only(MASKS["liver"], 2)], "liver")
    other.predict(labels=["liver"])
    for index in (0, 1, 3, 4, 5):
        assert np.array_equal(session.mask("liver")[index], other.mask("liver")[index])


def test_fronts_that_meet_look_at_a_slice_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (0, 4):
        session.add_initial_seg_interaction(MASKS["liver"][index], "liver", slice_index=index)
    asked: list[tuple[int, tuple[int, ...]]] = []
    predict = Predictor.predict

    def noted(self: Predictor, asks: Sequence[Ask], progress: Progress) -> Results:
        for one in asks:
            shown = tuple(at for _, slices in one.references for at in slices)
            asked.append((one.slice_index, shown))
        return predict(self, asks, progress)

    monkeypatch.setattr(Predictor, "predict", noted)
    found = propagate(session, "liver", sources=(0, 4), through_found=True)
    # Each is asked with both sources and the neighbours that it was reached from.
    assert asked == [(1, (0, 4)), (3, (0, 4)), (5, (0, 4)), (2, (0, 1, 3, 4))]
    assert [found.confidence[at] for at in (0, 4)] == [1.0, 1.0]


def test_what_a_locked_label_holds_is_not_found(session: Session) -> None:
    session.add_initial_seg_interaction(_only(np.ones_like(MASKS["liver"]), 3), "other")
    session.lock("other")
    session.add_initial_seg_interaction(MASKS["liver"][2], "liver", slice_index=2)
    found = propagate(session, "liver")
    assert not (session.mask("liver") & session.mask("other")).any()
    assert found.last == 2


def _only(stack: np.ndarray, index: int) -> np.ndarray:
    kept = np.zeros_like(stack)
    kept[index] = stack[index]
    return kept


def test_what_cannot_be_propagated_is_refused(session: Session) -> None:
    session.predict(classes=["liver"])
    before = session.mask("liver")
    with pytest.raises(PromptError, match="no slice to start from"):
        propagate(session, "liver")
    with pytest.raises(LabelError, match="no label 'spoon'"):
        propagate(session, "spoon")
    with pytest.raises(CancelledError):
        propagate(session, "liver", (1,), Stop())
    with pytest.raises(PromptError, match="slice 9 lies outside"):
        propagate(session, "liver", (9,))
    session.lock("liver")
    with pytest.raises(LabelError, match="locked"):
        propagate(session, "liver", (1,))
    assert np.array_equal(session.mask("liver"), before)
    session.set_image(scene()[0])
    with pytest.raises(PromptError, match="only volumes"):
        propagate(session, "liver")
