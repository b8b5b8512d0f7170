"""What a benchmark leaves behind: one row a (case, concept, protocol), plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import read_json, write_json
from medprism.core.errors import FormatVersionError
from medprism.data.store import SliceRow, SliceStore
from medprism.metrics.overlap import Overlap

FORMAT: Final = "medprism-benchmark-cell"
VERSION: Final = 1

_UNKNOWN_PATIENTS: Final = frozenset(
    {
        "busi_mini",
        "mt_avt_aorta_ct",
        "mt_brisc2025_mri",
        "mt_chest_ct_lung_heart",
        "mt_cpaisd_stroke_ct",
        "mt_hocm_heart_ct",
        "mt_knee_bones",
        "mt_pulmonary_vessels_ct",
    }
)
"""Shared sets that were split by contiguous blocks of images since patients are unknown."""


@dataclass(frozen=True)
class ResultRow:
    """What one protocol gave for one concept on one slice.

    `values` are Dice in 0..1: one value, or one per click; a refinement begins with the mask it
    starts from. `overlap` counts pixels of the last mask. `presence` is the model's own score.
    `milliseconds` is the model's time for all values (a share of it where one call gave several
    rows).
    """

    dataset: str
    role: str
    split: str
    case: str
    patient: str | None
    volume: str | None
    concept: str
    method: str
    protocol: str
    values: tuple[float, ...]
    overlap: Overlap
    presence: float | None
    milliseconds: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What is asked: dataset, case and concept; equal for all methods and protocols."""
        return self.dataset, self.case, self.concept

    @property
    def unit(self) -> str:
        """What counts as independent: the patient, or the case where that is unknown."""
        return f"case {self.case}" if self.patient is None else f"patient {self.patient}"

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> ResultRow:
        """Build the row from plain data."""
        overlap = Overlap(**payload["overlap"])
        return cls(**{**payload, "values": tuple(payload["values"]), "overlap": overlap})


@dataclass(frozen=True)
class DatasetFacts:
    """What a reader must know about a set: its size in the split, and how it was made.

    `num_images` counts the whole split, `num_examined` those that were evaluated. Patients that
    are unknown count image by image; `knows_patients` is False where the split itself could not
    keep them apart.
    """

    dataset: str
    title: str
    role: str
    split: str
    modality: str | None
    num_images: int
    num_examined: int
    num_patients: int
    knows_patients: bool


@dataclass(frozen=True)
class Cell:
    """All rows of one method on one set, and what they were made with."""

    facts: DatasetFacts
    method: str
    plan: dict[str, Any]
    rows: tuple[ResultRow, ...]


def facts_of(store: SliceStore, dataset: str, split: str, examined: Iterable[int]) -> DatasetFacts:
    """Return the facts of a set in a store."""
    info = store.info(dataset)
    rows = [row for row in store.rows if row.dataset == dataset and row.split == split]
    patients = {row.patient or row.case_id for row in rows}
    return DatasetFacts(
        dataset=dataset,
        title=info.title,
        role=info.role,
        split=split,
        modality=info.modality,
        num_images=len(rows),
        num_examined=len(tuple(examined)),
        num_patients=len(patients),
        knows_patients=dataset not in _UNKNOWN_PATIENTS and all(row.patient for row in rows),
    )


def volume_of(row: SliceRow) -> str | None:
    """Return the volume a slice was cut from, by its case name; None for a picture of its own."""
    if row.slice_index is None:
        return None
    stem = re.sub(rf"0*{row.slice_index}$", "", row.case_id)
    volume = re.sub(r"(_z|_slice_|_)$", "", stem)
    return volume or None


def write_cell(path: Path, cell: Cell) -> None:
    """Write a cell durably."""
    payload = {
        "facts": asdict(cell.facts),
        "method": cell.method,
        "plan": cell.plan,
        "rows": [asdict(row) for row in cell.rows],
    }
    write_json(path, FORMAT, VERSION, payload)


def read_cell(path: Path) -> Cell:
    """Read a cell.

    Raises:
        FormatVersionError: it is damaged or of a newer version.
    """
    payload = read_json(path, FORMAT, VERSION)
    try:
        return Cell(
            DatasetFacts(**payload["facts"]),
            payload["method"],
            payload["plan"],
            tuple(ResultRow.from_json(row) for row in payload["rows"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatVersionError(
            f"{path} is damaged ({error}); delete it and evaluate the set again"
        ) from error
