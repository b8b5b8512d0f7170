"""What a benchmark leaves behind: one row a (case, concept, protocol), plain data."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import read_json, write_json
from medprism.core.errors import FormatVersionError
from medprism.data.slice_row import SliceRow
from medprism.evaluation.facts import DatasetFacts
from medprism.metrics.overlap import Overlap
from medprism.metrics.surface import SurfaceScore

FORMAT: Final = "medprism-benchmark-cell"
VERSION: Final = 2


@dataclass(frozen=True)
class ResultRow:
    """What one protocol gave for one concept on one slice (or in one volume).

    `role` is that of the concept there, which may differ from the set's (`facts.role_of`).
    `values` are Dice in 0..1: one value, or one per click, number of references or draw; a
    refinement begins with the mask it starts from. `overlap` counts pixels of the last mask.
    `presence` is the model's own score. `milliseconds` is the model's time for all values (a share
    of it where one call gave several rows). `shots` says how many references each value really
    had, where that varies; `pixels` is the size of the grid (None in cells of version 1), and
    `surface` compares borders in mm, of whole volumes only.
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
    shots: tuple[int, ...] = ()
    pixels: int | None = None
    surface: SurfaceScore | None = None

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
        surface = payload.get("surface")
        read = {
            "values": tuple(payload["values"]),
            "overlap": Overlap(**payload["overlap"]),
            "shots": tuple(payload.get("shots", ())),
            "surface": None if surface is None else SurfaceScore(**surface),
        }
        return cls(**{**payload, **read})


@dataclass(frozen=True)
class Cell:
    """All rows of one method on one set, and what they were made with."""

    facts: DatasetFacts
    method: str
    plan: dict[str, Any]
    rows: tuple[ResultRow, ...]


def by_role(cell: Cell) -> tuple[Cell, ...]:
    """Part a cell by the roles of its rows; a cell without rows stays as it is."""
    roles = sorted({row.role for row in cell.rows})
    if not roles:
        return (cell,)
    return tuple(
        replace(
            cell,
            facts=replace(cell.facts, role=role),
            rows=tuple(row for row in cell.rows if row.role == role),
        )
        for role in roles
    )


def volume_of(row: SliceRow) -> str | None:
    """Return the volume a slice was cut from, by its case name; None for a picture of its own."""
    if row.slice_index is None:
        return None
    divided = re.fullmatch(rf"(.+?)(_z|_slice_|_)0*{row.slice_index}", row.case_id)
    if divided:
        return divided[1]
    # Without a divider only the width tells the zeros of the slice from those of the volume.
    return row.case_id.removesuffix(f"{row.slice_index:03d}") or None


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
