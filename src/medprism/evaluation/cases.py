"""What a case of a benchmark is: an image, and for each concept the mask of its truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from medprism.core.concepts import ConceptTable
from medprism.core.errors import StoreError
from medprism.core.image import Image
from medprism.core.prompt import Mask2d
from medprism.data.case import Case, DatasetInfo, LabelPlanes
from medprism.data.datasets.adapters import open_dataset
from medprism.data.slice_row import SliceRow
from medprism.data.store import SliceStore
from medprism.data.stored_slice import read_image, read_planes
from medprism.data.vocabulary import (
    PARTIAL_LABELS,
    evaluation_targets,
    known_datasets,
    published_concepts,
)


@dataclass(frozen=True)
class Target:
    """A concept as one dataset labels it: the label ids that together form it.

    `is_exhaustive` says that a slice without these ids does not show the concept.
    """

    dataset: str
    concept: str
    label_ids: tuple[int, ...]
    is_exhaustive: bool

    def is_shown(self, row: SliceRow) -> bool:
        """Whether a slice has at least one pixel of the concept."""
        return any(label_id in row.areas for label_id in self.label_ids)


def targets_of(store: SliceStore, dataset: str, concepts: ConceptTable) -> tuple[Target, ...]:
    """Return what a dataset of a store can be evaluated on, as `targets_in` does."""
    shared = _shared_targets(dataset, concepts)
    return shared or targets_in(store.info(dataset), concepts)


def targets_in(info: DatasetInfo, concepts: ConceptTable) -> tuple[Target, ...]:
    """Return what a dataset can be evaluated on.

    The shared vocabulary knows the shared sets, published sets know theirs. Of another set,
    the model's own concept table says which label ids form a concept; classes it does not name
    stand for themselves, and count as exhaustive where the model was trained on the set.
    """
    dataset, shared = info.name, _shared_targets(info.name, concepts)
    if shared:
        return shared
    published = published_concepts(info)
    if published:
        exhaustive = {c.name for c in concepts.concepts if dataset in c.label_ids}
        return tuple(
            Target(dataset, concept.name, concept.label_ids[dataset], concept.name in exhaustive)
            for concept in published
        )
    trained = tuple(
        Target(dataset, concept.name, concept.label_ids[dataset], True)
        for concept in concepts.concepts
        if dataset in concept.label_ids
    )
    named = {label_id for target in trained for label_id in target.label_ids}
    return trained + tuple(
        Target(dataset, name, (label_id,), False)
        for label_id, name in info.classes.items()
        if label_id not in named
    )


def trained_targets(concepts: ConceptTable) -> tuple[Target, ...]:
    """Return every target that the training sets of a concept table give, in its order.

    >>> from medprism.core.concepts import Concept
    >>> trained_targets(ConceptTable((Concept("lung", (), {"cxr": (1, 2)}),)))
    (Target(dataset='cxr', concept='lung', label_ids=(1, 2), is_exhaustive=True),)
    """
    return tuple(
        Target(dataset, concept.name, ids, is_exhaustive)
        for concept in concepts.concepts
        for sets, is_exhaustive in (
            (concept.label_ids, True),
            (PARTIAL_LABELS.get(concept.name, {}), False),
        )
        for dataset, ids in sets.items()
    )


def _shared_targets(dataset: str, concepts: ConceptTable) -> tuple[Target, ...]:
    """Return what a shared set can be evaluated on, nothing for other sets."""
    if dataset not in known_datasets():
        return ()
    exhaustive = {c.name for c in concepts.concepts if dataset in c.label_ids}
    return tuple(
        Target(dataset, name, ids, name in exhaustive) for name, ids in evaluation_targets(dataset)
    )


@runtime_checkable
class CaseReader(Protocol):
    """Where images and masks of a store's rows come from; `grid` says at which size."""

    @property
    def grid(self) -> str:
        """On which grid Dice is computed, for reports."""

    def image(self, number: int) -> Image:
        """Return the image of a row."""

    def truth(self, number: int, target: Target) -> Mask2d:
        """Return the mask of a target on the same grid; empty where it is not shown."""


class StoreReader:
    """Images and masks as the store holds them: 8 bit, the long side limited."""

    grid = "the store's grid (long side limited)"

    def __init__(self, store: SliceStore) -> None:
        self._store = store

    def image(self, number: int) -> Image:
        """Return the stored pixels of a row."""
        pixels = self._store.image(number)
        plane = pixels if pixels.shape[2] == 3 else pixels[..., 0]
        return Image.from_array(plane, modality=self._store.rows[number].modality)

    def truth(self, number: int, target: Target) -> Mask2d:
        """Return the stored mask of a target."""
        return self._store.plane(number, target.label_ids)


class FolderReader:
    """Pictures and masks from the dataset folders a store was prepared from, at their own size.

    Raises:
        StoreError: a case of the store is in none of the folders, or is a slice of a volume.
    """

    grid = "each image's own grid"

    def __init__(self, store: SliceStore, folders: Iterable[Path]) -> None:
        self._store = store
        self._cases: dict[tuple[str, str], Case] = {}
        for folder in folders:
            for case in open_dataset(folder, store.path / "splits").cases():
                if isinstance(case.image, Image) and not case.image.is_planar:
                    raise StoreError(
                        f"case {case.case_id} of {folder} is a slice of a volume; only pictures "
                        "can be evaluated from folders, use the store's grid"
                    )
                self._cases[case.dataset, case.case_id] = case
        for row in store.rows:
            if (row.dataset, row.case_id) not in self._cases:
                raise StoreError(
                    f"case {row.case_id} of {row.dataset} is in the store {store.path} but in none "
                    "of the folders given; name the folders it was prepared from"
                )
        # A case is asked for once per concept and protocol in a row, rarely again later.
        self._image = lru_cache(maxsize=8)(self._read_image)
        self._planes = lru_cache(maxsize=8)(self._read_planes)

    def image(self, number: int) -> Image:
        """Return the image of a row as its file has it."""
        return self._image(number)

    def truth(self, number: int, target: Target) -> Mask2d:
        """Return the mask of a target as its file has it."""
        mask = np.zeros(self._image(number).shape, np.bool_)
        for label_id, plane in self._planes(number).items():
            if label_id in target.label_ids:
                mask |= plane
        return mask

    def _case(self, number: int) -> Case:
        row = self._store.rows[number]
        return self._cases[row.dataset, row.case_id]

    def _read_image(self, number: int) -> Image:
        return read_image(self._case(number))

    def _read_planes(self, number: int) -> LabelPlanes:
        return read_planes(self._case(number), self._image(number))
