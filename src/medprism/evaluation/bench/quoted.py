"""Figures of the K-Prism paper, quoted: other data, other budgets, full size; never beside ours.

Dice in per cent [KPrism, Tables 2 to 4]. The printed averages of Table 2 are not the means of its
columns, so `mean` is computed here, and the printed one stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medprism.evaluation.bench.pages import Grid


@dataclass(frozen=True)
class QuotedRow:
    """A method's row: a figure a column, and the average as printed (None: not printed)."""

    method: str
    figures: tuple[float, ...]
    printed: float | None = None

    @property
    def mean(self) -> float:
        """The mean over the columns.

        >>> round(BY_CLASS.rows[0].mean, 2), BY_CLASS.rows[-1].printed
        (81.0, 86.21)
        """
        return sum(self.figures) / len(self.figures)


@dataclass(frozen=True)
class QuotedTable:
    """A table of the paper; `is_mean` says whether a mean over its columns means anything."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[QuotedRow, ...]
    is_mean: bool = True


_IN_DISTRIBUTION: Final = (
    *("AMOS CT", "AMOS MRI", "M&Ms", "LiTS", "KiTS", "LAScarQS"),
    *("BUSI", "Chest X-ray", "KPIs", "PAPILA", "BKAI", "ISIC"),
)
_EXTERNAL: Final = ("BTCV", "ACDC", "UW-SC", "BUS")
_UNSEEN: Final = ("BraTS", "M&Ms-2")
_CLICKS: Final = tuple(
    f"{role}: {figure}"
    for role in ("in-distribution", "external", "unseen")
    for figure in ("NoC90", "NoC95", "Dice(1)", "Dice(5)")
)


def _rows(text: str, *, has_printed: bool = True) -> tuple[QuotedRow, ...]:
    rows = []
    for line in text.strip().splitlines():
        method, *cells = (cell.strip() for cell in line.split("|"))
        figures = [float(cell) for cell in cells[0].split()]
        printed = figures.pop() if has_printed else None
        rows.append(QuotedRow(method, tuple(figures), printed))
    return tuple(rows)


BY_CLASS: Final = QuotedTable(
    "by class, sets of training (Table 2)",
    _IN_DISTRIBUTION,
    _rows("""
nnU-Net | 76.26 76.57 85.42 56.84 73.39 84.28 71.68 94.95 86.22 96.17 83.45 86.76 81.00
Clip-driven | 84.37 83.20 84.10 60.12 75.99 80.94 76.47 95.45 85.82 95.81 86.32 86.04 84.31
UniSeg | 84.91 85.36 85.34 56.97 73.41 81.57 75.71 96.02 80.88 91.40 82.57 84.24 83.96
Hermes | 85.06 84.65 85.87 58.66 73.64 83.30 78.09 95.64 85.41 95.87 85.59 88.64 85.02
K-Prism | 85.21 84.39 86.15 64.22 78.70 83.27 76.86 95.93 86.68 95.71 86.76 89.36 86.21
"""),
)
BY_REFERENCE: Final = QuotedTable(
    "by one reference, sets of training (Table 2)",
    _IN_DISTRIBUTION,
    _rows("""
UniverSeg | 60.51 59.02 60.51 49.02 58.60 72.18 54.82 94.65 81.07 95.45 73.93 80.01 71.53
Tyche | 61.62 59.52 61.21 50.01 59.68 72.26 54.94 94.42 81.05 95.60 74.73 80.80 72.12
MultiverSeg | 58.48 58.13 58.83 50.60 65.43 67.74 67.02 94.01 82.36 94.98 72.77 85.10 72.41
Iris | 74.10 76.59 83.37 59.26 74.65 78.14 75.47 95.86 83.96 95.31 82.96 85.87 81.76
K-Prism | 79.72 78.21 85.22 62.93 79.12 81.22 75.55 95.80 86.48 95.74 84.88 89.78 84.82
"""),
)
BY_CLASS_EXTERNAL: Final = QuotedTable(
    "by class, external sets (Table 3)",
    _EXTERNAL,
    _rows("""
nnU-Net | 67.25 84.64 79.78 68.00 74.92
Clip-driven | 78.43 85.35 83.19 69.86 79.21
UniSeg | 80.89 86.69 84.47 69.24 80.82
Hermes | 79.25 85.87 87.64 72.49 81.81
K-Prism | 80.24 87.26 87.54 78.75 83.45
"""),
)
BY_REFERENCE_EXTERNAL: Final = QuotedTable(
    "by one reference, external sets (Table 3)",
    _EXTERNAL,
    _rows("""
UniverSeg | 55.63 56.87 75.08 47.56 58.29
Tyche | 57.07 57.62 74.60 43.68 58.74
MultiverSeg | 48.69 51.15 78.76 62.08 60.67
Iris | 74.97 83.36 86.82 68.93 78.52
K-Prism | 76.82 85.89 87.66 79.59 82.49
"""),
)
BY_REFERENCE_UNSEEN: Final = QuotedTable(
    "by one reference, unseen classes (Table 3)",
    _UNSEEN,
    _rows("""
UniverSeg | 15.61 21.16 18.39
Tyche | 15.92 21.95 18.94
MultiverSeg | 18.23 26.21 22.22
Iris | 25.83 26.30 26.07
K-Prism | 22.20 41.61 31.91
"""),
)
BY_CLICKS: Final = QuotedTable(
    "by clicks (Table 4)",
    _CLICKS,
    _rows(
        """
nnInteractive | 3.44 5.08 73.36 88.44 3.52 5.58 68.43 85.53 4.96 7.42 47.60 86.77
MedSAM | 3.17 5.16 88.23 91.21 3.35 6.40 87.26 90.93 6.69 8.88 65.44 80.13
MultiverSeg | 3.32 5.19 70.57 92.97 3.27 5.64 73.45 92.80 5.47 7.98 53.15 87.93
SAM2 | 3.94 6.27 86.46 87.96 3.59 7.34 87.57 89.00 8.71 9.84 59.88 66.81
SegNext | 2.50 4.08 89.53 93.80 2.63 5.00 88.43 92.96 4.77 7.22 71.99 87.72
K-Prism | 1.95 3.51 89.55 95.50 2.01 4.24 88.67 94.92 4.32 6.62 68.67 90.67
""",
        has_printed=False,
    ),
    is_mean=False,
)
QUOTED: Final = (
    BY_CLASS,
    BY_REFERENCE,
    BY_CLASS_EXTERNAL,
    BY_REFERENCE_EXTERNAL,
    BY_REFERENCE_UNSEEN,
    BY_CLICKS,
)


def quoted_grids() -> tuple[Grid, ...]:
    """Return the paper's tables as text, a column for the printed average where there is one."""
    return tuple(_grid(table) for table in QUOTED)


def _grid(table: QuotedTable) -> Grid:
    means = ("mean of the columns", "printed average") if table.is_mean else ()
    rows = tuple(
        (
            row.method,
            *((f"{row.mean:.2f}", f"{row.printed:.2f}") if row.printed is not None else ()),
            *(f"{figure:.2f}" for figure in row.figures),
        )
        for row in table.rows
    )
    return Grid(
        title=f"Quoted from the K-Prism paper: {table.title}",
        notes=(
            "Per cent, of the authors' models at full size on their sets; nothing of it was "
            "measured here.",
        ),
        header=("method", *means, *table.columns),
        rows=rows,
    )
