"""Predict labels on slices of one image: a pass over the slice, then auto-zoom on a crop of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from medprism.core.errors import CancelledError
from medprism.core.image import Image
from medprism.core.preprocess import Fit, lift, place, place_mask
from medprism.core.progress import Progress
from medprism.core.prompt import Interactions, Mask2d
from medprism.inference.annotation import Basis, CanvasMaps, SliceResult
from medprism.inference.decoding import CHUNK_PIXELS, Probability, ReferenceView, Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.map_store import MapStore
from medprism.inference.packed_mask import PackedMask
from medprism.inference.reference_bank import Reference
from medprism.inference.zoom import (
    Crop,
    ZoomSettings,
    choose_crop,
    into_crop,
    paste,
    positive_region,
    surround,
)
from medprism.metrics.presence import presence_score
from medprism.models.segmenter import Segmenter

THRESHOLD: Final = np.float32(0.5)

Map = Float32[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found for one label: its mask and a score in 0..1 that it is there at all."""

    mask: Bool[np.ndarray, "..."]
    presence: float


@dataclass(frozen=True, eq=False)
class Ask:
    """A label wanted on one slice, with all that is known about it there.

    `references` pairs each reference with the slices of it that serve as examples. `taken` are
    the pixels that locked labels hold.
    """

    label: str
    slice_index: int
    concept: int | None
    references: tuple[tuple[Reference, tuple[int, ...]], ...]
    interactions: Interactions
    previous: SliceResult | None
    taken: Mask2d | None

    @property
    def basis(self) -> Basis:
        """What the answer will have been made from."""
        digests = tuple(reference.digest for reference, _ in self.references)
        return Basis(self.concept, digests, len(self.interactions.items))

    @property
    def has_knowledge(self) -> bool:
        """Whether a class or an example says what to segment."""
        return self.concept is not None or bool(self.references)


class Predictor:
    """Answers asks about one image; where results are kept is the map store's business."""

    def __init__(
        self,
        segmenter: Segmenter,
        encoder: Encoder,
        image: Image,
        store: MapStore,
        zoom: ZoomSettings | None,
    ) -> None:
        self._segmenter = segmenter
        self._encoder = encoder
        self._image = image
        self._store = store
        self._zoom = zoom
        self._fit: Fit = encoder.fit(View(image, 0))

    def predict(
        self, asks: Sequence[Ask], progress: Progress
    ) -> dict[tuple[str, int], SliceResult]:
        """Return the result of each (label, slice).

        The order of the asks has no effect: they run by slice, then by label.

        Raises:
            CancelledError: the progress said so; nothing was changed.
        """
        ordered = sorted(asks, key=lambda ask: (ask.slice_index, ask.label))
        results: dict[tuple[str, int], SliceResult] = {}
        for block in self._blocks(ordered):
            _stop_if_cancelled(progress)
            for ask, result in zip(block, self._predict_block(block), strict=True):
                results[ask.label, ask.slice_index] = result
            progress.report(len(results), len(ordered), "segmenting")
        # Who cancelled during the last block, which may be the only one, wants no result either.
        _stop_if_cancelled(progress)
        return results

    def given(self, mask: PackedMask) -> SliceResult:
        """Return the result that a person's own mask is; its coverage is its probability."""
        coverage = place_mask(mask.unpack(), self._fit)
        return SliceResult(mask, float(bool(mask)), CanvasMaps(self._store.put(coverage)), None)

    def probability(self, maps: CanvasMaps) -> Map:
        """Return a stored probability on the image's own grid."""
        whole = lift(self._store.get(maps.coarse), self._fit)
        if maps.fine is None:
            return whole
        crop, number = maps.fine
        part = lift(self._store.get(number), self._encoder.fit(View(self._image, 0, crop)))
        return paste(whole, part, crop)

    def _blocks(self, asks: Sequence[Ask]) -> Iterator[Sequence[Ask]]:
        height, width = self._fit.canvas
        size = max(1, CHUNK_PIXELS // (height * width))
        for start in range(0, len(asks), size):
            yield asks[start : start + size]

    def _predict_block(self, asks: Sequence[Ask]) -> list[SliceResult]:
        first = decode(self._segmenter, self._encoder, [self._request(ask) for ask in asks])
        zoom = self._zoom
        crops = [
            None if zoom is None else self._crop(ask, coarse, zoom)
            for ask, coarse in zip(asks, first, strict=True)
        ]
        close_ups = [
            self._close_up(ask, coarse, crop, zoom)
            for ask, coarse, crop in zip(asks, first, crops, strict=True)
            if crop is not None and zoom is not None
        ]
        second = iter(decode(self._segmenter, self._encoder, close_ups))
        return [
            self._result(ask, coarse, None if crop is None else (crop, next(second)))
            for ask, coarse, crop in zip(asks, first, crops, strict=True)
        ]

    def _request(self, ask: Ask) -> Request:
        references = tuple(
            ReferenceView(reference, View(reference.image, index))
            for reference, slices in ask.references
            for index in slices
        )
        return Request(
            View(self._image, ask.slice_index),
            concept=ask.concept,
            references=references,
            interactions=ask.interactions,
            previous=self._feedback(ask) if ask.interactions else None,
        )

    def _crop(self, ask: Ask, coarse: Probability, zoom: ZoomSettings) -> Crop | None:
        """Return the crop to look at again, None where that would not help."""
        found = PackedMask.pack(_threshold(lift(coarse, self._fit))).box
        region = positive_region(ask.interactions, found)
        if region is None:
            return None
        crop = choose_crop(region, self._fit.source, zoom)
        if crop is None or ask.has_knowledge or into_crop(ask.interactions, crop):
            return crop
        return None

    def _close_up(self, ask: Ask, coarse: Probability, crop: Crop, zoom: ZoomSettings) -> Request:
        view = View(self._image, ask.slice_index, crop)
        native = _without(lift(coarse, self._fit), ask.taken)
        interactions = into_crop(ask.interactions, crop)
        return Request(
            view,
            concept=ask.concept,
            references=_reference_close_ups(ask, zoom),
            interactions=interactions,
            previous=_place(crop.cut(native), self._encoder.fit(view)) if interactions else None,
        )

    def _result(
        self, ask: Ask, coarse: Probability, fine: tuple[Crop, Probability] | None
    ) -> SliceResult:
        stored = None if fine is None else (fine[0], self._store.put(fine[1]))
        maps = CanvasMaps(self._store.put(coarse), stored)
        native = self.probability(maps)
        return SliceResult(
            PackedMask.pack(_threshold(native)), presence_score(native), maps, ask.basis
        )

    def _feedback(self, ask: Ask) -> Probability | None:
        """Return the last probability on the canvas, as the model sees it before it refines."""
        if ask.previous is None or ask.previous.maps is None:
            return None
        maps = ask.previous.maps
        canvas = self._store.get(maps.coarse)
        if maps.fine is not None:
            seen = _place(self.probability(maps), self._fit)
            canvas = canvas.copy()
            part = _on_canvas(maps.fine[0], self._fit)
            part.cut(canvas)[...] = part.cut(seen)
        if ask.taken is not None:
            canvas = canvas * (1 - place_mask(ask.taken, self._fit))
        return canvas


def _stop_if_cancelled(progress: Progress) -> None:
    if progress.is_cancelled():
        raise CancelledError("prediction was cancelled; nothing was changed, ask again")


def agree(probability: Map, mask: Mask2d) -> Map:
    """Return the probability moved to the mask's side of 0.5 where the two differ.

    A given or locked mask is exact; so `mask == (probability >= 0.5)` holds for every label.

    >>> agree(np.array([[0.2, 0.9]], np.float32), np.array([[True, False]])).tolist()
    [[0.5, 0.4999999701976776]]
    """
    below = np.nextafter(THRESHOLD, np.float32(0))
    inside, outside = np.maximum(probability, THRESHOLD), np.minimum(probability, below)
    return np.asarray(np.where(mask, inside, outside))


def _reference_close_ups(ask: Ask, zoom: ZoomSettings) -> tuple[ReferenceView, ...]:
    """Crop each reference around its mask, so that it is as large as in the close-up."""
    close_ups = []
    for reference, slices in ask.references:
        for index in slices:
            plane = reference.planes[index]
            region = plane.box or (0, 0, *plane.shape)
            crop = surround(region, plane.shape, zoom)
            close_ups.append(ReferenceView(reference, View(reference.image, index, crop)))
    return tuple(close_ups)


def _threshold(probability: Map) -> Mask2d:
    return np.asarray(probability >= THRESHOLD)


def _without(probability: Map, taken: Mask2d | None) -> Map:
    return probability if taken is None else np.asarray(np.where(taken, np.float32(0), probability))


def _place(plane: Map, fit: Fit) -> Probability:
    return np.ascontiguousarray(place(np.ascontiguousarray(plane)[..., None], fit)[..., 0])


def _on_canvas(crop: Crop, fit: Fit) -> Crop:
    """Return the canvas pixels whose centres lie in a crop of the slice."""
    down, right = fit.scale
    return Crop(
        round(crop.top * down),
        round(crop.left * right),
        round(crop.bottom * down),
        round(crop.right * right),
    )
