"""Case: one labelled slice as a dataset adapter yields it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from medprism.core.image import Image

ROLES: Final = ("train", "external", "unseen")
SPLITS: Final = ("train", "val", "test")

LabelPlanes = Mapping[int, Bool[np.ndarray, "height width"]]


@dataclass(frozen=True, eq=False)
class Case:
    """One image with its masks; arrays are read only when `load` is called.

    `patient` is None where it is unknown. `slice_index` is the number in the source volume,
    `relative_position` runs from 0 to 1 through that volume, `view` names the plane it was cut in
    ("ax", "co", "sa") where a set has several. `spacing` is (row, col) in mm where known.
    `plane` is the slice of the image to take: 0 for a picture. `is_unlabelled` marks a slice of a
    volume on which nothing is labelled: it counts as evidence of absence only, never as an example.
    With `resample` a mask file on another grid is brought onto that of the image.
    """

    dataset: str
    case_id: str
    patient: str | None
    split: str
    role: str
    image: Path | Image
    masks: Path | LabelPlanes
    modality: str | None = None
    slice_index: int | None = None
    relative_position: float | None = None
    view: str | None = None
    spacing: tuple[float, float] | None = None
    plane: int = 0
    is_unlabelled: bool = False
    resample: bool = False


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset says about itself.

    `classes` maps label ids to names; `redistributable` is the source's own wording, such as
    "yes", "unclear" or "yes (non-commercial)".
    """

    name: str
    title: str
    role: str
    modality: str | None
    classes: Mapping[int, str]
    licence: str | None = None
    redistributable: str | None = None
    citation: str | None = None
    notes: str = field(default="", compare=False)


@runtime_checkable
class Dataset(Protocol):
    """What every adapter returns."""

    @property
    def info(self) -> DatasetInfo:
        """Name, role, classes and licence."""

    @property
    def split(self) -> Mapping[str, str]:
        """Case (or volume) -> "train", "val" or "test"."""

    def source_files(self) -> tuple[Path, ...]:
        """Return every file whose change makes a prepared store stale, sorted."""

    def cases(self) -> Iterator[Case]:
        """Yield the cases in a fixed order."""
