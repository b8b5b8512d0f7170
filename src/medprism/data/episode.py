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
from medprism.core.preprocess import MULTIPLE
from medprism.core.randomness import counter_rng
from medprism.data.appearance import Appearance, draw_appearance
from medprism.data.augment import Sampling, draw_warp, prepare_sampling, warp_plane
from medprism.data.balance import Balance
from medprism.data.pools import Pool, build_pools
from medprism.data.reference import choose_references
from medprism.data.store import SliceStore
from medprism.data.synthetic import TASK_CHANGE, draw_region
from medprism.data.view import ViewConfig, draw_view, render
from medprism.data.vocabulary import PARTIAL_LABELS, LabelIds

NO_CONCEPT: Final = -1
"""Concept of a synthetic target."""

Canvas = UInt8[np.ndarray, "size size 3"]
Coverage = UInt8[np.ndarray, "size size"]
Plane = Bool[np.ndarray, "height width"]


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig:
    """How episodes are drawn.

    A share of the images, `dataset_first`, is drawn dataset by dataset, the rest concept by
    concept, so that neither a set with many structures nor a structure with many sets takes all.
    `class_exponent` is applied to the number of images that show a concept (0 = all concepts
    alike, 1 = all images alike).

    In batches that name no class, `synthetic` is the share of images whose targets are regions
    that nobody labelled; in batches with references `task_change` is the share of images that get
    a strong change of appearance in common with their references.
    """

    size: int = 256
    num_requests: int = 12
    requests_per_image: int = 2
    num_references: int = 1
    absent: float = 0.05
    self_reference: float = 0.0
    dataset_first: float = 0.5
    class_exponent: float = 0.5
    synthetic: float = 0.0
    task_change: float = 0.0
    view: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        counts = (self.num_requests, self.requests_per_image, self.num_references)
        if min(counts) < 1:
            raise ConfigError(f"requests, requests per image and references {counts} must be >= 1")
        _check_size(self.size)
        names = ("absent", "self_reference", "dataset_first", "synthetic", "task_change")
        for name in names:
            _check_odds(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class Episode:
    """One batch: images, and requests that each name an image, a concept and the right answer.

    `targets` and `reference_masks` are coverage in 0..255. `concept` is a row of the concept table
    or `NO_CONCEPT`. `row` and `reference_rows` say where in the store each came from.
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
class _Shown:
    """An image of the episode while it is put together."""

    number: int
    row: int
    sampling: Sampling
    change: Appearance | None


@dataclass(frozen=True, eq=False)
class _Request:
    """One request; what is asked for is a pool's concept or the mask of a synthetic region."""

    image: _Shown
    asked: Pool | Plane
    target: Coverage
    is_absent: bool = False

    @property
    def concept(self) -> int:
        return self.asked.concept if isinstance(self.asked, Pool) else NO_CONCEPT


@dataclass(frozen=True)
class _Batch:
    """What is wanted of all requests of an episode."""

    num_requests: int
    size: int
    needs_reference: bool
    allows_absent: bool
    self_reference: float
    share: tuple[int, int]

    def __post_init__(self) -> None:
        if self.num_requests < 1:
            raise ConfigError(f"{self.num_requests} requests; an episode has at least one")
        if self.needs_reference and self.allows_absent:
            raise ConfigError("a request with references cannot be absent; ask for one of the two")
        _check_size(self.size)
        _check_odds("self_reference", self.self_reference)
        rank, count = self.share
        if not 0 <= rank < count:
            raise ConfigError(f"share {rank} of {count} does not exist; count ranks from 0")

    def is_mine(self, image: int) -> bool:
        """Say whether an image of the episode belongs to the share."""
        return image % self.share[1] == self.share[0]


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
        share: tuple[int, int] = (0, 1),
    ) -> Episode:
        """Draw the episode of a step; None takes the config's value.

        `allows_absent` is for batches that name a class: some requests then ask for a concept that
        the image is known not to show, with an empty target, and none is synthetic.

        With a `share` of (rank, count), images whose number leaves another remainder than rank when
        divided by count stay black, and so do the references of their requests: their pixels are
        not read. Their labels are, since the number of requests on an image depends on them.

        Raises:
            ConfigError: absent requests together with references, a size that no canvas has, or a
                rank outside 0..count - 1.
        """
        batch = _Batch(
            self.config.num_requests if num_requests is None else num_requests,
            self.config.size if size is None else size,
            needs_reference,
            allows_absent,
            self.config.self_reference if self_reference is None else self_reference,
            share,
        )
        images: list[Canvas] = []
        requests: list[_Request] = []
        while len(requests) < batch.num_requests:
            limit = min(self.config.requests_per_image, batch.num_requests - len(requests))
            rng = counter_rng(seed, step, len(images), "image")
            group = self._draw_group(rng, batch, len(images), limit)
            mine = batch.is_mine(len(images))
            black = np.zeros((batch.size, batch.size, 3), np.uint8)
            images.append(self._render(rng, group[0].image) if mine else black)
            requests.extend(group)
        references = self._draw_references(seed, step, batch, requests) if needs_reference else None
        return _assemble(images, requests, references)

    def _draw_group(
        self, rng: np.random.Generator, batch: _Batch, number: int, limit: int
    ) -> list[_Request]:
        """Draw an image and up to `limit` requests on it."""
        chance = rng.random(3)
        absent_odds = self.config.absent if batch.allows_absent else 0.0
        is_absent = self.hidden.is_possible and bool(chance[0] < absent_odds)
        pool, row = (self.hidden if is_absent else self.shown).draw(rng)
        change = None
        if batch.needs_reference and chance[1] < self.config.task_change:
            is_rgb = self.store.rows[row].shape[2] == 3
            change = draw_appearance(rng, TASK_CHANGE, is_rgb=is_rgb)
        if is_absent:
            height, width, _ = self.store.rows[row].shape
            warp = draw_warp(rng, (height, width), batch.size, self.config.view.warp)
            shown = _Shown(number, row, prepare_sampling(warp), change)
            empty = np.zeros((batch.size, batch.size), np.uint8)
            first = _Request(shown, pool, empty, is_absent=True)
            return [first, *self._more_concepts(rng, first, limit - 1, absent_odds)]
        is_synthetic = not batch.allows_absent and bool(chance[2] < self.config.synthetic)
        asked = draw_region(rng, self.store.image(row)) if is_synthetic else pool
        sampling, target = draw_view(rng, self._plane(asked, row), batch.size, self.config.view)
        first = _Request(_Shown(number, row, sampling, change), asked, target)
        if is_synthetic:
            return [first, *self._more_regions(rng, first.image, limit - 1)]
        return [first, *self._more_concepts(rng, first, limit - 1, absent_odds)]

    def _more_concepts(
        self, rng: np.random.Generator, first: _Request, limit: int, absent_odds: float
    ) -> list[_Request]:
        """Return requests for other concepts of the same image that its canvas still shows."""
        row, asked = first.image.row, first.concept
        others = [p for p in self.pools.by_row.get(row, ()) if p.concept != asked]
        absent = [p for p in self.pools.absent_by_row.get(row, ()) if p.concept != asked]
        found: list[_Request] = []
        if limit and absent and rng.random() < absent_odds:
            hidden = absent[int(rng.integers(len(absent)))]
            empty = np.zeros_like(first.target)
            found.append(_Request(first.image, hidden, empty, is_absent=True))
        for index in rng.permutation(len(others)):
            if len(found) >= limit:
                break
            pool = others[int(index)]
            target = warp_plane(self.store.plane(row, pool.label_ids), first.image.sampling)
            if self.config.view.is_visible(target):
                found.append(_Request(first.image, pool, target))
        return found

    def _more_regions(self, rng: np.random.Generator, image: _Shown, limit: int) -> list[_Request]:
        """Return requests for other regions of the same image that its canvas still shows."""
        regions = [draw_region(rng, self.store.image(image.row)) for _ in range(limit)]
        requests = [
            _Request(image, region, warp_plane(region, image.sampling)) for region in regions
        ]
        return [r for r in requests if self.config.view.is_visible(r.target)]

    def _render(self, rng: np.random.Generator, shown: _Shown) -> Canvas:
        pixels = self.store.image(shown.row)
        return render(rng, pixels, shown.sampling, self.config.view.appearance, shown.change)

    def _draw_references(
        self, seed: int, step: int, batch: _Batch, requests: list[_Request]
    ) -> _References:
        refs = self.config.num_references
        images = np.zeros((len(requests), refs, batch.size, batch.size, 3), np.uint8)
        masks = np.zeros((len(requests), refs, batch.size, batch.size), np.uint8)
        rows = np.zeros((len(requests), refs), np.int64)
        for number, request in enumerate(requests):
            rng = counter_rng(seed, step, number, "reference")
            rows[number] = self._choose_rows(rng, request, refs, batch.self_reference)
            for place in range(refs if batch.is_mine(request.image.number) else 0):
                row = int(rows[number, place])
                plane = self._plane(request.asked, row)
                sampling, masks[number, place] = draw_view(rng, plane, batch.size, self.config.view)
                shown = _Shown(number, row, sampling, request.image.change)
                images[number, place] = self._render(rng, shown)
        return _References(images, masks, rows)

    def _choose_rows(
        self, rng: np.random.Generator, request: _Request, refs: int, self_reference: float
    ) -> list[int]:
        row = request.image.row
        if not isinstance(request.asked, Pool):
            return [row] * refs
        chosen = choose_references(rng, request.asked, row, refs)
        if rng.random() < self_reference:
            chosen[0] = row
        return chosen

    def _plane(self, asked: Pool | Plane, row: int) -> Plane:
        return self.store.plane(row, asked.label_ids) if isinstance(asked, Pool) else asked


@dataclass(frozen=True, eq=False)
class _References:
    """References of all requests of an episode."""

    images: UInt8[np.ndarray, "requests refs size size 3"]
    masks: UInt8[np.ndarray, "requests refs size size"]
    rows: Int64[np.ndarray, "requests refs"]


def _check_size(size: int) -> None:
    if size < MULTIPLE or size % MULTIPLE:
        raise ConfigError(f"canvas side {size} must be a positive multiple of {MULTIPLE}")


def _check_odds(name: str, odds: float) -> None:
    if not 0 <= odds <= 1:
        raise ConfigError(f"{name} {odds} must lie in 0..1")


def _assemble(
    images: list[Canvas], requests: list[_Request], references: _References | None
) -> Episode:
    return Episode(
        images=np.stack(images),
        image_index=np.array([request.image.number for request in requests], np.int64),
        concept=np.array([request.concept for request in requests], np.int64),
        targets=np.stack([request.target for request in requests]),
        reference_images=None if references is None else references.images,
        reference_masks=None if references is None else references.masks,
        is_absent=np.array([request.is_absent for request in requests], np.bool_),
        row=np.array([request.image.row for request in requests], np.int64),
        reference_rows=None if references is None else references.rows,
    )
