from __future__ import annotations

import numpy as np
import pytest
import torch

from medprism.core.errors import CancelledError
from medprism.core.image import Image
from medprism.core.preprocess import lift, place
from medprism.core.progress import SilentProgress
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.inference.annotation import SliceResult
from medprism.inference.decoding import Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.map_store import MapStore
from medprism.inference.packed_mask import PackedMask
from medprism.inference.prediction import Ask, Predictor, agree
from medprism.inference.reference_bank import Reference
from medprism.inference.zoom import Crop, ZoomSettings
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import LEVELS, SHAPE, scene, volume

IMAGE, MASKS = scene()
ROWS = {name: row for row, name in enumerate(LEVELS)}


class _Lab:
    """A predictor with its parts in reach."""

    def __init__(self, image: np.ndarray = IMAGE, zoom: ZoomSettings | None = None) -> None:
        self.segmenter = CountingSegmenter()
        self.encoder = Encoder(fake_model(self.segmenter), EncodingCache())
        self.image = Image.from_array(image)
        self.predictor = Predictor(self.segmenter, self.encoder, self.image, MapStore(), zoom)

    def one(self, ask: Ask) -> SliceResult:
        return self.predictor.predict([ask], SilentProgress())[ask.label, ask.slice_index]

    def probability(self, result: SliceResult) -> np.ndarray:
        assert result.maps is not None
        return self.predictor.probability(result.maps)


def _ask(
    label: str = "liver",
    slice_index: int = 0,
    *,
    concept: int | None = None,
    references: tuple[tuple[Reference, tuple[int, ...]], ...] = (),
    clicks: tuple[Click, ...] = (),
    previous: SliceResult | None = None,
    taken: Mask2d | None = None,
) -> Ask:
    interactions = Interactions(clicks)
    return Ask(label, slice_index, concept, references, interactions, previous, taken)


@pytest.mark.parametrize("name", LEVELS)
def test_a_class_finds_its_structure(name: str) -> None:
    result = _Lab(zoom=ZoomSettings()).one(_ask(concept=ROWS[name]))
    assert dice(result.mask.unpack(), MASKS[name]) > 0.8
    assert result.mask.unpack()[~MASKS[name]].mean() < 0.05
    assert result.presence > 0.7


def test_a_class_that_is_not_there_has_a_low_presence() -> None:
    result = _Lab().one(_ask(concept=3))
    assert result.presence < 0.3
    assert not result.mask


@pytest.mark.parametrize("knowledge", ["class", "reference", "click"])
def test_zooming_finds_a_small_structure_more_exactly(knowledge: str) -> None:
    other, other_masks = scene(5, shift=4)
    reference = Reference.from_pair(Image.from_array(other), other_masks["polyp"])
    ask = {
        "class": _ask(concept=ROWS["polyp"]),
        "reference": _ask(references=((reference, (0,)),)),
        "click": _ask(clicks=(Click(18, 92, True),)),
    }[knowledge]
    near = dice(_Lab(zoom=ZoomSettings()).one(ask).mask.unpack(), MASKS["polyp"])
    far = dice(_Lab().one(ask).mask.unpack(), MASKS["polyp"])
    assert near > far + 0.1
    assert near > 0.8


def test_a_large_structure_is_not_zoomed_on() -> None:
    lab = _Lab(zoom=ZoomSettings(largest_share=0.3))
    result = lab.one(_ask(concept=ROWS["liver"]))
    assert result.maps is not None
    assert result.maps.fine is None
    assert (lab.segmenter.calls.encode, lab.segmenter.calls.decode) == (1, [1])


def test_the_close_up_fills_the_crop_and_the_first_pass_the_rest() -> None:
    lab = _Lab(zoom=ZoomSettings())
    clicks = (Click(18, 92, True), Click(60, 70, False))
    result = lab.one(_ask(clicks=clicks))
    assert result.maps is not None
    assert result.maps.fine is not None
    crop, _ = result.maps.fine
    assert crop.top <= 18 < crop.bottom
    assert not crop.bottom > 60
    # The same two passes, spelled out.
    segmenter, encoder = lab.segmenter, lab.encoder
    view, close = View(lab.image, 0), View(lab.image, 0, crop)
    (first,) = decode(segmenter, encoder, [Request(view, interactions=Interactions(clicks))])
    whole = lift(first, encoder.fit(view))
    previous = np.zeros((*crop.shape, 1), np.float32)
    previous[..., 0] = crop.cut(whole)
    placed = np.ascontiguousarray(place(previous, encoder.fit(close))[..., 0])
    moved = Interactions((Click(18 - crop.top, 92 - crop.left, True),))
    (second,) = decode(segmenter, encoder, [Request(close, interactions=moved, previous=placed)])
    expected = whole.copy()
    crop.cut(expected)[...] = lift(second, encoder.fit(close))
    np.testing.assert_array_equal(lab.probability(result), expected)
    np.testing.assert_array_equal(result.mask.unpack(), expected >= 0.5)


def test_references_are_cropped_around_their_masks_for_the_close_up() -> None:
    lab = _Lab(zoom=ZoomSettings())
    other, other_masks = scene(5, shift=4)
    reference = Reference.from_pair(Image.from_array(other), other_masks["polyp"])
    asked: list[View] = []
    encode = lab.encoder.reference

    def keep(of: Reference, view: View) -> object:
        asked.append(view)
        return encode(of, view)

    lab.encoder.reference = keep  # type: ignore[method-assign, assignment]
    lab.one(_ask(references=((reference, (0,)),)))
    assert [view.crop for view in asked] == [None, Crop(0, 80, 32, 112)]


def test_the_next_round_sees_the_last_probability() -> None:
    lab = _Lab()
    first = lab.one(_ask(concept=0))
    lab.one(_ask(concept=0, clicks=(Click(30, 30, True),), previous=first))
    prompts = lab.segmenter.calls.prompts
    assert prompts[0].dense is None
    assert prompts[1].dense is not None
    assert prompts[1].concept is not None
    fed = prompts[1].dense[0, 2].numpy()
    np.testing.assert_array_equal(
        lift(fed, lab.encoder.fit(View(lab.image, 0))), lab.probability(first)
    )


def test_after_a_close_up_the_next_round_sees_it_inside_the_crop() -> None:
    lab = _Lab(zoom=ZoomSettings())
    clicks = (Click(18, 92, True),)
    first = lab.one(_ask(clicks=clicks))
    assert first.maps is not None
    assert first.maps.fine is not None
    seen = lab.probability(first)
    lab.one(_ask(clicks=(*clicks, Click(19, 90, True)), previous=first))
    dense = lab.segmenter.calls.prompts[2].dense
    assert dense is not None
    back = lift(dense[0, 2].numpy(), lab.encoder.fit(View(lab.image, 0)))
    inside = first.maps.fine[0]
    assert np.abs(inside.cut(back) - inside.cut(seen)).mean() < 0.05
    assert np.abs(back - seen).max(where=seen < 0.02, initial=0) < 0.5


def test_what_locked_labels_hold_is_taken_out_of_what_the_model_sees() -> None:
    lab = _Lab()
    taken = np.zeros(SHAPE, bool)
    taken[:, :31] = True
    first = lab.one(_ask(concept=0))
    lab.one(_ask(concept=0, clicks=(Click(30, 40, True),), previous=first, taken=taken))
    dense = lab.segmenter.calls.prompts[1].dense
    assert dense is not None
    assert float(dense[0, 2, :68, :22].max()) < 1e-6
    assert float(dense[0, 2, :68, 28:].max()) > 0.9


def test_a_given_mask_is_exact_and_is_the_probability_that_clicks_refine() -> None:
    lab = _Lab()
    given = PackedMask.pack(MASKS["left kidney"])
    result = lab.predictor.given(given)
    assert result.mask == given
    assert result.presence == 1.0
    assert np.abs(lab.probability(result) - MASKS["left kidney"]).mean() < 0.02
    lab.one(_ask(clicks=(Click(30, 30, True),), previous=result))
    dense = lab.segmenter.calls.prompts[0].dense
    assert dense is not None
    assert (
        abs(
            float(dense[0, 2].mean())
            - MASKS["left kidney"].sum() * (96 / 124) ** 2 / dense[0, 2].numel()
        )
        < 0.01
    )


def test_negative_clicks_alone_are_not_zoomed_on_where_the_crop_has_none() -> None:
    image = IMAGE.copy()
    lab = _Lab(image, zoom=ZoomSettings())
    start = lab.predictor.given(PackedMask.pack(MASKS["polyp"]))
    result = lab.one(_ask(clicks=(Click(70, 20, False),), previous=start))
    assert result.maps is not None
    assert result.maps.fine is None


def test_the_order_of_asks_changes_nothing() -> None:
    stack, _ = volume(3)
    asks = [_ask(name, index, concept=ROWS[name]) for name in LEVELS for index in range(3)]
    forward = _Lab(stack, ZoomSettings()).predictor.predict(asks, SilentProgress())
    backward = _Lab(stack, ZoomSettings()).predictor.predict(asks[::-1], SilentProgress())
    assert forward.keys() == backward.keys()
    for key, result in forward.items():
        assert result.mask == backward[key].mask
        assert result.presence == backward[key].presence


def test_many_slices_run_in_blocks_and_each_is_encoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medprism.inference.prediction.CHUNK_PIXELS", 4 * 80 * 96)
    stack, _ = volume(5)
    lab = _Lab(stack)
    asks = [_ask(name, index, concept=ROWS[name]) for name in LEVELS for index in range(5)]
    reported: list[tuple[int, int]] = []

    class Reporting(SilentProgress):
        def report(self, done: int, total: int, message: str = "") -> None:
            reported.append((done, total))

    lab.predictor.predict(asks, Reporting())
    assert lab.segmenter.calls.encode == 5
    assert lab.segmenter.calls.decode == [4, 4, 4, 3]
    assert reported == [(4, 15), (8, 15), (12, 15), (15, 15)]


def test_a_cancelled_prediction_says_so() -> None:
    class Cancelled(SilentProgress):
        def is_cancelled(self) -> bool:
            return True

    with pytest.raises(CancelledError, match="nothing was changed"):
        _Lab().predictor.predict([_ask(concept=0)], Cancelled())


def test_the_mask_decides_where_probability_and_mask_differ() -> None:
    rng = np.random.default_rng(4)
    probability, mask = rng.random((9, 7), np.float32), rng.random((9, 7)) < 0.5
    agreed = agree(probability, mask)
    np.testing.assert_array_equal(agreed >= 0.5, mask)
    same = (probability >= 0.5) == mask
    np.testing.assert_array_equal(agreed[same], probability[same])


def test_nothing_is_recorded_for_gradients() -> None:
    lab = _Lab()
    lab.one(_ask(clicks=(Click(3, 4, True),)))
    dense = lab.segmenter.calls.prompts[0].dense
    assert dense is not None
    assert torch.is_inference(dense)
