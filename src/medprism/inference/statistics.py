"""Statistics of what was found on an image, one row a label, as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from medprism.core.durable import write_bytes
from medprism.core.errors import InternalError
from medprism.core.labels import LabelMap
from medprism.inference.session import Session
from medprism.metrics.measure import measure


@dataclass(frozen=True)
class LabelStatistics:
    """One label of one image.

    `area` (of the largest slice), `longest` and `perpendicular` (diameters on one slice) are in
    `unit`: "mm" where the image knows its spacing, else "pixel". `volume_ml` is None for a picture
    and where the spacing is unknown. `number` is the label's number in the mask file; `overlapped`
    counts the voxels that it lost there to labels of higher priority.
    """

    image: str
    label: str
    number: int
    presence: float
    voxels: int
    overlapped: int
    pieces: int
    unit: str
    area: float
    longest: float
    perpendicular: float
    volume_ml: float | None


def collect_statistics(session: Session, written: LabelMap) -> tuple[LabelStatistics, ...]:
    """Measure every label that was written; masks count as they were found, before any merging."""
    image = session.image
    if image is None:
        raise InternalError("statistics of a session without an image")
    source = "" if image.source is None else image.source.name
    rows = []
    for number, name in written.names.items():
        found = measure(image.to_stack(session.mask(name)), image.geometry.spacing)
        is_volume = image.geometry.is_physical and not image.is_planar
        rows.append(
            LabelStatistics(
                image=source,
                label=name,
                number=number,
                presence=round(session.presence(name), 6),
                voxels=found.num_voxels,
                overlapped=written.dropped[name],
                pieces=found.num_components,
                unit="mm" if image.geometry.is_physical else "pixel",
                area=found.area_mm2,
                longest=found.longest_mm,
                perpendicular=found.perpendicular_mm,
                volume_ml=found.volume_ml if is_volume else None,
            )
        )
    return tuple(rows)


def write_statistics(path: Path, rows: Sequence[LabelStatistics]) -> None:
    """Write rows as CSV with a header; what is not known stays empty.

    Raises:
        WriteError: no space or no permission; an older file stays as it was.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [field.name for field in fields(LabelStatistics)])
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_bytes(path, text.getvalue().encode())
