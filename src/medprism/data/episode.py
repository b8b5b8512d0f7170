"""Episodes: what one training step sees, drawn from counters.

`EpisodeSampler.draw(seed, step, ...)` depends on its arguments only, never on what was drawn
before. It runs in any thread (cv2 and the memory maps release the interpreter); a program that
draws in a background thread calls `cv2.setNumThreads(0)` once, or cv2 takes all cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.data.appearance import Appearance, AppearanceConfig, apply_appearance, draw_appearance
from medprism.data.augment import (
    Sampling,
    Warp,
    WarpConfig,
    crop_and_shrink,
    draw_warp,
    plain_warp,
    prepare_sampling,
    sample,
    warp_plane,
    zoom_warp,
)
from medprism.data.balance import Balance
from medprism.data.pools import Pool, build_pools
from medprism.data.reference import choose_references
from medprism.data.store import SliceStore
from medprism.data.vocabulary import PARTIAL_LABELS, LabelIds
from medprism.data.zoom import draw_zoom_box, whole_box

_ATTEMPTS: Final = 3


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig:
    """How episodes are drawn.

    A share of the images, `dataset_first`, is drawn dataset by dataset, the rest concept by
    concept, so that neither a set with many structures nor a structure with many sets takes all.
    `class_exponent` is applied to the number of images that show a concept (0 = all concepts
    alike, 1 = all images alike). `min_pixels` of coverage must remain of a target on its canvas.
    """

    size: int = 256
    num_requests: int = 12
    requests_per_image: int = 2
    num_references: int = 1
    zoom: float = 0.25
    absent: float = 0.05
    self_reference: float = 0.0
    dataset_first: float = 0.5
    class_exponent: float = 0.5
    min_pixels: int = 12
    warp: WarpConfig = field(default_factory=WarpConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)

    def __post_init__(self) -> None:
        counts = (self.num_requests, self.requests_per_image, self.num_references)
        if min(counts) < 1:
            raise ConfigError(f"requests, requests per image and references {counts} must be >= 1")
        odds = (self.zoom, self.absent, self.self_reference, self.dataset_first)
        if not all(0 <= chance <= 1 for chance in odds):
            raise ConfigError(
                f"odds {odds} of zoom, absent, self reference and dataset first must lie in 0..1"
            )


@dataclass(frozen=True, eq=False)
class Episode:
    """One batch: images, and requests that each name an image, a concept and the right answer.

    `targets` and `reference_masks` are coverage in 0..255. `row` and `reference_rows` say where in
    the store each came from.
    """

    images: UInt8[np.ndarray, "images size size 3"]
    image_index: Int64[np.ndarray, " requests"]
    concept: Int64[np.ndarray, " requests"]
    targets: UInt8[np.ndarray, "requests size size"]
    reference_images: UInt8[np.ndarray, "requests refs size size 3"] | None
    reference_masks: UInt8[np.ndarray, "requests refs size size"] | None
    is_absent: Bool[np.ndarray, " requests"]
    row: Int64[np.ndarray, " requests"]
    reference_rows: Int64[np.ndarray, "requests refs"] | None


@dataclass(frozen=True, eq=False)
class _Request:
    """One request while its episode is put together."""

    image: int
    pool: Pool
    row: int
    target: UInt8[np.ndarray, "size size"]
    is_absent: bool


class EpisodeSampler:
    """Draws episodes from one split of a store's training sets."""

    def __init__(
        self,
        store: SliceStore,
        concepts: ConceptTable,
        split: str = "train",
        config: EpisodeConfig | None = None,
        *,
        partial: Mapping[str, LabelIds] = PARTIAL_LABELS,
    ) -> None:
        self.store = store
        self.concepts = concepts
        self.config = config or EpisodeConfig()
        self.pools = build_pools(store, concepts, partial, split)
        exponent, share = self.config.class_exponent, self.config.dataset_first
        pools = [pool for pools in self.pools.by_concept for pool in pools]
        self.shown = Balance([(p, p.rows) for p in pools], exponent, share)
        self.hidden = Balance([(p, p.absent) for p in pools], exponent, share)

    def draw(
        self,
        seed: int,
        step: int,
        needs_reference: bool,
        num_requests: int | None = None,
        size: int | None = None,
        self_reference: float | None = None,
        *,
        allows_absent: bool = False,
    ) -> Episode:
        """Draw the episode of a step; None takes the config's value.

        With `allows_absent` (batches that name a class) some requests ask for a concept that the
        image is known not to show; their target is empty.

        Raises:
            ConfigError: absent requests together with references, or a size that no canvas has.
        """
        if needs_reference and allows_absent:
            raise ConfigError("a request with references cannot be absent; ask for one of the two")
        count = self.config.num_requests if num_requests is None else num_requests
        side = self.config.size if size is None else size
        copies = self.config.self_reference if self_reference is None else self_reference
        images: list[UInt8[np.ndarray, "size size 3"]] = []
        requests: list[_Request] = []
        while len(requests) < count:
            limit = min(self.config.requests_per_image, count - len(requests))
            rng = counter_rng(seed, step, len(images), "image")
            image, group = self._draw_image(rng, len(images), limit, side, allows_absent)
            images.append(image)
            requests.extend(group)
        references = (
            self._draw_references(seed, step, requests, side, copies) if needs_reference else None
        )
        return _assemble(images, requests, references)

    def _draw_image(
        self, rng: np.random.Generator, number: int, limit: int, side: int, allows_absent: bool
    ) -> tuple[UInt8[np.ndarray, "size size 3"], list[_Request]]:
        absent_odds = self.config.absent if allows_absent and self.hidden.is_possible else 0.0
        is_absent = bool(rng.random() < absent_odds)
        pool, row = (self.hidden if is_absent else self.shown).draw(rng)
        sampling, target = self._draw_view(rng, pool, row, side, is_absent)
        requests = [_Request(number, pool, row, target, is_absent)]
        others = [p for p in self.pools.by_row.get(row, ()) if p.concept != pool.concept]
        for index in rng.permutation(len(others)):
            if len(requests) >= limit:
                break
            requests += self._draw_other(
                rng, requests[0], others[int(index)], sampling, absent_odds
            )
        return self._render(rng, row, sampling), requests

    def _draw_other(
        self,
        rng: np.random.Generator,
        first: _Request,
        pool: Pool,
        sampling: Sampling,
        absent_odds: float,
    ) -> list[_Request]:
        """Return a further request on the image of the first one, or nothing if none shows."""
        row = first.row
        absent = [
            p for p in self.pools.absent_by_row.get(row, ()) if p.concept != first.pool.concept
        ]
        if absent and rng.random() < absent_odds:
            empty = np.zeros((sampling.warp.size,) * 2, np.uint8)
            hidden = absent[int(rng.integers(len(absent)))]
            return [_Request(first.image, hidden, row, empty, True)]
        target = warp_plane(self.store.plane(row, pool.label_ids), sampling)
        if not self._is_visible(target):
            return []
        return [_Request(first.image, pool, row, target, False)]

    def _draw_view(
        self, rng: np.random.Generator, pool: Pool, row: int, side: int, is_absent: bool = False
    ) -> tuple[Sampling, UInt8[np.ndarray, "size size"]]:
        """Draw a warp that leaves the target visible.

        After a few attempts the slice is shown unaugmented, and a target too small for that is
        zoomed to.
        """
        height, width, _ = self.store.rows[row].shape
        source = (height, width)
        if is_absent:
            sampling = prepare_sampling(draw_warp(rng, source, side, self.config.warp))
            return sampling, np.zeros((side, side), np.uint8)
        plane = self.store.plane(row, pool.label_ids)
        warps: list[Warp] = []
        for _ in range(_ATTEMPTS):
            box = draw_zoom_box(rng, plane) if rng.random() < self.config.zoom else None
            warps = [draw_warp(rng, source, side, self.config.warp, box)]
            sampling = prepare_sampling(warps[0])
            target = warp_plane(plane, sampling)
            if self._is_visible(target):
                return sampling, target
        sampling = prepare_sampling(plain_warp(source, side))
        target = warp_plane(plane, sampling)
        if not self._is_visible(target):
            sampling = prepare_sampling(zoom_warp(source, side, whole_box(plane), self.config.warp))
            target = warp_plane(plane, sampling)
        return sampling, target

    def _is_visible(self, target: UInt8[np.ndarray, "size size"]) -> bool:
        return int(target.sum(dtype=np.int64)) >= self.config.min_pixels * 255

    def _render(
        self, rng: np.random.Generator, row: int, sampling: Sampling
    ) -> UInt8[np.ndarray, "size size 3"]:
        part = crop_and_shrink(self.store.image(row), sampling)
        drawn: Appearance = draw_appearance(rng, self.config.appearance, is_rgb=part.shape[2] == 3)
        canvas = sample(apply_appearance(part, drawn), sampling)
        return canvas if canvas.shape[2] == 3 else np.repeat(canvas, 3, axis=2)

    def _draw_references(
        self, seed: int, step: int, requests: list[_Request], side: int, self_reference: float
    ) -> _References:
        refs = self.config.num_references
        count = len(requests)
        images = np.zeros((count, refs, side, side, 3), np.uint8)
        masks = np.zeros((count, refs, side, side), np.uint8)
        rows = np.zeros((count, refs), np.int64)
        for number, request in enumerate(requests):
            rng = counter_rng(seed, step, number, "reference")
            chosen = choose_references(rng, request.pool, request.row, refs)
            if rng.random() < self_reference:
                chosen[0] = request.row
            for place, row in enumerate(chosen):
                sampling, masks[number, place] = self._draw_view(rng, request.pool, row, side)
                images[number, place] = self._render(rng, row, sampling)
            rows[number] = chosen
        return _References(images, masks, rows)


@dataclass(frozen=True, eq=False)
class _References:
    """References of all requests of an episode."""

    images: UInt8[np.ndarray, "requests refs size size 3"]
    masks: UInt8[np.ndarray, "requests refs size size"]
    rows: Int64[np.ndarray, "requests refs"]


def _assemble(
    images: list[UInt8[np.ndarray, "size size 3"]],
    requests: list[_Request],
    references: _References | None,
) -> Episode:
    return Episode(
        images=np.stack(images),
        image_index=np.array([request.image for request in requests], np.int64),
        concept=np.array([request.pool.concept for request in requests], np.int64),
        targets=np.stack([request.target for request in requests]),
        reference_images=None if references is None else references.images,
        reference_masks=None if references is None else references.masks,
        is_absent=np.array([request.is_absent for request in requests], np.bool_),
        row=np.array([request.row for request in requests], np.int64),
        reference_rows=None if references is None else references.rows,
    )
