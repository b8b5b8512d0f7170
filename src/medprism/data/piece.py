"""The work of a dataset in pieces that can be read apart: pictures, and volumes with their slices.

A piece is small and can be handed to another process, which then reads the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol, runtime_checkable

from medprism.core.image import Image
from medprism.data.case import Case, Dataset


@dataclass(frozen=True)
class Piece:
    """Cases that are read together, since they share an image file.

    `name` is the case (or the volume), `files` what it is read from, the image first; `read` reads
    it and yields its cases.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Iterator[Case]]


@runtime_checkable
class InPieces(Protocol):
    """A dataset that knows its pieces before anything is read."""

    @property
    def num_pieces(self) -> int:
        """How many there are."""

    def pieces(self) -> Iterator[Piece]:
        """Yield them in the order of the cases, with all slices of volumes; nothing is read yet."""


def count_pieces(dataset: Dataset) -> int | None:
    """Return how many pieces a dataset has, None where only reading it would tell."""
    return dataset.num_pieces if isinstance(dataset, InPieces) else None


def pieces_of(dataset: Dataset) -> Iterator[Piece]:
    """Yield the pieces of a dataset in the order of its cases; nothing is read yet.

    Volumes yield all their slices, also those that `cases` leaves out since nothing is labelled on
    them. A dataset that does not know its pieces (`InPieces`) reads its images itself, here and one
    after the other; its pieces are those cases that share an image.
    """
    if isinstance(dataset, InPieces):
        return dataset.pieces()
    return (_joined(group) for _, group in groupby(dataset.cases(), key=lambda c: id(c.image)))


def _joined(cases: Iterable[Case]) -> Piece:
    together = tuple(cases)
    first = together[0]
    files = tuple(path for path in (first.image, first.masks) if isinstance(path, Path))
    if isinstance(first.image, Image) and first.image.source is not None:
        files = (first.image.source, *files)
    return Piece(first.case_id, files, partial(iter, together))
