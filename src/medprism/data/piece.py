"""The work of a dataset in pieces that can be read apart: pictures, and volumes with their slices.

A piece is small and can be handed to another process, which then reads the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from medprism.core.image import Image
from medprism.data.case import Case, Dataset
from medprism.data.datasets.folder import FolderDataset
from medprism.data.datasets.published_dataset import PublishedDataset
from medprism.data.datasets.series import locate_slices


@dataclass(frozen=True)
class Piece:
    """Cases that are read together, since they share an image file.

    `name` is the case (or the volume), `files` what it is read from, the image first; `read` reads
    it and yields its cases.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Iterator[Case]]


def count_pieces(dataset: Dataset) -> int | None:
    """Return how many pieces a dataset has, None where only reading it would tell."""
    if isinstance(dataset, FolderDataset):
        return len(dataset.images)
    return len(dataset.found) if isinstance(dataset, PublishedDataset) else None


def pieces_of(dataset: Dataset) -> Iterator[Piece]:
    """Yield the pieces of a dataset in the order of its cases; nothing is read yet.

    Volumes yield all their slices, also those that `cases` leaves out since nothing is labelled on
    them. A dataset that is neither a folder nor a published set reads its images itself, here and
    one after the other; its pieces are those cases that share an image.
    """
    if isinstance(dataset, FolderDataset):
        return _folder_pieces(dataset)
    if isinstance(dataset, PublishedDataset):
        return _published_pieces(dataset)
    return (_joined(group) for _, group in groupby(dataset.cases(), key=lambda c: id(c.image)))


def _folder_pieces(dataset: FolderDataset) -> Iterator[Piece]:
    places = locate_slices(dataset.info.name, dataset.images)
    for stem, image in dataset.images.items():
        mask = dataset.masks[stem]
        alone = replace(
            dataset,
            images={stem: image},
            masks={stem: mask},
            patients={stem: dataset.patients[stem]},
            split={stem: dataset.split[stem]},
        )
        read = partial(_folder_cases, alone, places[stem].relative_position)
        yield Piece(stem, (image, mask), read)


def _folder_cases(alone: FolderDataset, relative_position: float | None) -> Iterator[Case]:
    for case in alone.cases():
        # One picture alone does not know its place among the others; slices of a volume do.
        is_picture = case.case_id in alone.images
        yield replace(case, relative_position=relative_position) if is_picture else case


def _published_pieces(dataset: PublishedDataset) -> Iterator[Piece]:
    for found in dataset.found:
        split = {found.case_id: dataset.split[found.case_id]}
        alone = replace(dataset, found=(found,), split=split)
        yield Piece(found.case_id, (found.image, *found.masks), partial(alone.cases_of, found))


def _joined(cases: Iterable[Case]) -> Piece:
    together = tuple(cases)
    first = together[0]
    files = tuple(path for path in (first.image, first.masks) if isinstance(path, Path))
    if isinstance(first.image, Image) and first.image.source is not None:
        files = (first.image.source, *files)
    return Piece(first.case_id, files, partial(iter, together))
