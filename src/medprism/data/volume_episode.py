"""Episodes on volumes: a query and a reference of another patient of the same set [Iris, Alg. 1].

Every draw is named by seed, step and number, so that a resumed run meets the same episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError, StoreError
from medprism.core.randomness import counter_rng
from medprism.core.windows import Shape, window_shape
from medprism.data.volume_augment import (
    VolumeAugmentConfig,
    add_noise,
    change_intensities,
    cut_image,
    cut_labels,
    draw_placement,
    place_upright,
)
from medprism.data.volumes import LabelledVolume, VolumeSet

# Where in a query's window the structure may lie: shares of its sides about the middle.
MIDDLE: Final = 0.25
ANYWHERE: Final = 1.0

Labels = UInt8[np.ndarray, "_ _ _"]


@dataclass(frozen=True, kw_only=True)
class VolumeEpisodeConfig:
    """How episodes are drawn.

    Windows have sides of at most `side` voxels, multiples of `multiple`. Classes are dropped at
    random: one to `most_classes` remain. A query shows one of them at odds of `foreground`: near
    its middle at odds of `centred`, else anywhere, as sliding windows do. A class counts as shown
    by a reference from `min_voxels` on.
    """

    side: int = 64
    multiple: int = 16
    most_classes: int = 6
    foreground: float = 0.8
    centred: float = 0.5
    min_voxels: int = 8
    augment: VolumeAugmentConfig = field(default_factory=VolumeAugmentConfig)

    def __post_init__(self) -> None:
        if self.most_classes < 1 or self.min_voxels < 1:
            raise ConfigError(
                f"an episode has at least one class and voxel, got {self.most_classes} and "
                f"{self.min_voxels}"
            )
        if not (0 <= self.foreground <= 1 and 0 <= self.centred <= 1):
            raise ConfigError(f"odds must lie in 0..1, got {self.foreground} and {self.centred}")


@dataclass(frozen=True, eq=False)
class VolumeEpisode:
    """One query and its reference, both windows of one size; `concept` are rows of the table."""

    dataset: str
    query_case: str
    reference_case: str
    image: Float32[np.ndarray, "slices height width"]
    target: Bool[np.ndarray, "classes slices height width"]
    reference_image: Float32[np.ndarray, "slices height width"]
    reference_masks: Bool[np.ndarray, "classes slices height width"]
    concept: Int64[np.ndarray, " classes"]


@dataclass(frozen=True, eq=False)
class _Pool:
    """The volumes of one set that episodes are drawn from, and the concepts each one shows."""

    name: str
    window: Shape
    label_ids: Mapping[int, tuple[int, ...]]
    queries: tuple[LabelledVolume, ...]
    references: tuple[LabelledVolume, ...]
    shown: Mapping[str, frozenset[int]]

    def partners(self, query: LabelledVolume) -> tuple[LabelledVolume, ...]:
        """Return the references of other patients that show a class of the query."""
        wanted = self.shown[query.case_id]
        return tuple(
            other
            for other in self.references
            if other.patient != query.patient and wanted & self.shown[other.case_id]
        )


class VolumeEpisodes:
    """Draws episodes from volume sets: queries of one side of the split, references of train.

    Raises:
        StoreError: a set in which no two patients show a common class.
    """

    def __init__(
        self,
        sets: Sequence[VolumeSet],
        concepts: ConceptTable,
        config: VolumeEpisodeConfig,
        split: str = "train",
    ) -> None:
        self.config = config
        self.pools = tuple(_make_pool(one, concepts, config, split) for one in sets)
        lonely = [pool.name for pool in self.pools if not pool.queries]
        if split == "train" and lonely:
            raise StoreError(
                f"{', '.join(lonely)} shows no class in two patients of its training split; an "
                "episode needs a query and a reference of another patient"
            )
        self.pools = tuple(pool for pool in self.pools if pool.queries)

    def draw(self, seed: int, step: int, number: int) -> VolumeEpisode:
        """Draw an augmented episode: a set, a query and a reference, each alike likely."""
        rng = counter_rng(seed, step, number, "volume episode")
        pool = self.pools[int(rng.integers(len(self.pools)))]
        query = pool.queries[int(rng.integers(len(pool.queries)))]
        return self._draw(rng, pool, query, augments=True)

    def fixed(self, seed: int, most: int) -> list[VolumeEpisode]:
        """Return `most` episodes a set without augmentation: the same ones at every call."""
        found = []
        for pool in self.pools:
            order = counter_rng(seed, pool.name, "order").permutation(len(pool.queries))
            for number in range(most):
                query = pool.queries[int(order[number % len(order)])]
                rng = counter_rng(seed, pool.name, number, "fixed episode")
                found.append(self._draw(rng, pool, query, augments=False))
        return found

    def _draw(
        self, rng: np.random.Generator, pool: _Pool, query: LabelledVolume, *, augments: bool
    ) -> VolumeEpisode:
        partners = pool.partners(query)
        reference = partners[int(rng.integers(len(partners)))]
        common = sorted(pool.shown[query.case_id] & pool.shown[reference.case_id])
        most = min(self.config.most_classes, len(common))
        chosen = rng.permutation(common)[: int(rng.integers(1, most + 1))].tolist()
        example = self._cut_reference(rng, pool, reference, chosen, augments=augments)
        image, labels, kept = example
        anchor = kept[int(rng.integers(len(kept)))]
        at_centre = rng.random() < self.config.foreground
        region = np.isin(query.labels, pool.label_ids[anchor]) if at_centre else None
        freedom = MIDDLE if rng.random() < self.config.centred else ANYWHERE
        start = _draw_start(rng, query.labels.shape, pool.window, region, freedom)
        shown, target = self._cut(rng, query, start, pool.window, augments=augments)
        if augments:
            shown = change_intensities(rng, shown, self.config.augment)
            shown = add_noise(rng, shown, self.config.augment.query_noise)
        return VolumeEpisode(
            dataset=pool.name,
            query_case=query.case_id,
            reference_case=reference.case_id,
            image=shown,
            target=_planes(target, [pool.label_ids[row] for row in kept]),
            reference_image=image,
            reference_masks=_planes(labels, [pool.label_ids[row] for row in kept]),
            concept=np.array(kept, np.int64),
        )

    def _cut_reference(
        self,
        rng: np.random.Generator,
        pool: _Pool,
        reference: LabelledVolume,
        chosen: list[int],
        *,
        augments: bool,
    ) -> tuple[Float32[np.ndarray, "_ _ _"], Labels, list[int]]:
        """Return a window of the reference that keeps what is annotated, and the classes in it.

        The whole region if it fits into the window, else the part about one of its voxels. Where
        turning loses every class, the upright window is taken, which shows the class it is about.
        """
        ids = [number for row in chosen for number in pool.label_ids[row]]
        region = np.isin(reference.labels, ids)
        box = [(int(at.min()), int(at.max()) + 1) for at in np.nonzero(region)]
        fits = all(high - low <= w for (low, high), w in zip(box, pool.window, strict=True))
        if fits:
            start = _start_around(rng, box, reference.labels.shape, pool.window)
        else:
            about = np.isin(reference.labels, pool.label_ids[chosen[0]])
            start = _draw_start(rng, reference.labels.shape, pool.window, about)
        for turns in (augments, False):
            image, labels = self._cut(rng, reference, start, pool.window, augments=turns)
            kept = [row for row in chosen if self._shows(labels, pool.label_ids[row])]
            if kept:
                return image, labels, kept
        return image, labels, [row for row in chosen if np.isin(labels, pool.label_ids[row]).any()]

    def _cut(
        self,
        rng: np.random.Generator,
        volume: LabelledVolume,
        start: Shape,
        window: Shape,
        *,
        augments: bool,
    ) -> tuple[Float32[np.ndarray, "_ _ _"], Labels]:
        augment = self.config.augment
        placement = place_upright(start, window)
        if augments:
            placement = draw_placement(rng, start, window, augment)
        image = cut_image(volume.image, placement)
        if augments:
            image = change_intensities(rng, image, augment)
        return image, cut_labels(volume.labels, placement)

    def _shows(self, labels: Labels, ids: tuple[int, ...]) -> bool:
        return bool(np.isin(labels, ids).sum() >= self.config.min_voxels)


def exhaustive_rows(concepts: ConceptTable, dataset: str) -> dict[int, tuple[int, ...]]:
    """Return the label ids of every row of the table that a dataset labels exhaustively."""
    return {
        row: concept.label_ids[dataset]
        for row, concept in enumerate(concepts.concepts)
        if dataset in concept.label_ids
    }


def _make_pool(
    volumes: VolumeSet, concepts: ConceptTable, config: VolumeEpisodeConfig, split: str
) -> _Pool:
    label_ids = exhaustive_rows(concepts, volumes.info.name)
    training, queries = volumes.of("train"), volumes.of(split)
    sizes = np.median([volume.labels.shape for volume in training], axis=0)
    typical = (int(sizes[0]), int(sizes[1]), int(sizes[2]))
    shown = {}
    for volume in (*training, *queries):
        counts = np.bincount(volume.labels.ravel(), minlength=256)
        shown[volume.case_id] = frozenset(
            row
            for row, ids in label_ids.items()
            if sum(int(counts[number]) for number in ids) >= config.min_voxels
        )
    window = window_shape(typical, config.side, config.multiple)
    pool = _Pool(volumes.info.name, window, label_ids, queries, training, shown)
    usable = tuple(query for query in queries if pool.partners(query))
    return _Pool(pool.name, window, label_ids, usable, training, shown)


def _planes(labels: Labels, ids: list[tuple[int, ...]]) -> Bool[np.ndarray, "classes _ _ _"]:
    return np.stack([np.isin(labels, numbers) for numbers in ids])


def _draw_start(
    rng: np.random.Generator,
    volume: tuple[int, ...],
    window: Shape,
    region: Bool[np.ndarray, "_ _ _"] | None,
    freedom: float = MIDDLE,
) -> Shape:
    """Draw a window anywhere, or with a drawn voxel of a region in it.

    `freedom` is the share of the window about its middle in which that voxel may lie.
    """
    if region is None:
        spans = [(0, max(0, n - w)) for n, w in zip(volume, window, strict=True)]
    else:
        inside = np.argwhere(region)
        voxel = inside[int(rng.integers(len(inside)))]
        spans = []
        for at, n, w in zip(voxel.tolist(), volume, window, strict=True):
            free = int(freedom * (w - 1))
            low = at - w // 2 - free // 2
            spans.append(tuple(np.clip((low, low + free), 0, max(0, n - w)).tolist()))
    one, two, three = (int(rng.integers(low, high + 1)) for low, high in spans)
    return _centred_if_short((one, two, three), volume, window)


def _start_around(
    rng: np.random.Generator,
    box: list[tuple[int, int]],
    volume: tuple[int, ...],
    window: Shape,
) -> Shape:
    """Draw a window that holds a box wholly."""
    starts = []
    for (low, high), n, w in zip(box, volume, window, strict=True):
        first, last = max(0, high - w), min(low, max(0, n - w))
        starts.append(int(rng.integers(first, last + 1)) if last >= first else first)
    one, two, three = starts
    return _centred_if_short((one, two, three), volume, window)


def _centred_if_short(start: Shape, volume: tuple[int, ...], window: Shape) -> Shape:
    """Put a short axis of the volume into the middle of the window."""
    one, two, three = (
        -((w - n) // 2) if n < w else s for s, n, w in zip(start, volume, window, strict=True)
    )
    return one, two, three
