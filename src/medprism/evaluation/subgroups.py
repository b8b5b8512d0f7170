"""Parts of a benchmark that tables show beside the average: modality, source, structure size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from medprism.evaluation.results import Cell, ResultRow

MODALITY: Final = "modality"
SOURCE: Final = "source"
SIZE: Final = "size"

SMALL, MEDIUM, LARGE, UNKNOWN = "small", "medium", "large", "size unknown"

_Name = Callable[[Cell, ResultRow], str]


def subgroups(cells: Sequence[Cell], by: str) -> dict[str, tuple[Cell, ...]]:
    """Part cells into named groups; a cell appears in each group with its rows of that group.

    `by` is one of `SUBGROUPS`: the kind of image, the set, or the size of the structure (see
    `size_limits`; equal limits for all methods). The groups together hold every row once, and can
    be averaged and compared as cells are. Modalities and sets are sorted, sizes ascend; groups
    without rows are left out. Rows of cells of version 1 do not know their size.
    """
    name_of = SUBGROUPS[by](cells)
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        rows: dict[str, list[ResultRow]] = {}
        for row in cell.rows:
            rows.setdefault(name_of(cell, row), []).append(row)
        for name, own in rows.items():
            groups.setdefault(name, []).append(replace(cell, rows=tuple(own)))
    sizes = (SMALL, MEDIUM, LARGE, UNKNOWN)
    order = [name for name in sizes if name in groups] if by == SIZE else sorted(groups)
    return {name: tuple(groups[name]) for name in order}


def area_share(row: ResultRow) -> float | None:
    """Return which share of the slice the structure covers, in 0..1; None where that is unknown."""
    return row.overlap.reference / row.pixels if row.pixels else None


def size_limits(rows: Iterable[ResultRow]) -> tuple[float, float] | None:
    """Return the shares of the slice that part the structures into thirds; None without any.

    Each (set, case, class) counts once, whatever number of methods and protocols answered it; what
    a slice does not show has no size. Structures exactly at a limit count to the smaller side.
    """
    shares = {
        row.key: share
        for row in rows
        if row.overlap.reference and (share := area_share(row)) is not None
    }
    if not shares:
        return None
    low, high = np.quantile(list(shares.values()), (1 / 3, 2 / 3))
    return float(low), float(high)


def _by_kind(_: Sequence[Cell]) -> _Name:
    return lambda cell, _row: cell.facts.kind


def _by_set(_: Sequence[Cell]) -> _Name:
    return lambda cell, _row: cell.facts.dataset


def _by_size(cells: Sequence[Cell]) -> _Name:
    limits = size_limits(row for cell in cells for row in cell.rows)

    def name_of(_: Cell, row: ResultRow) -> str:
        share = area_share(row)
        if limits is None or share is None or not row.overlap.reference:
            return UNKNOWN
        return (SMALL, MEDIUM, LARGE)[int(share > limits[0]) + int(share > limits[1])]

    return name_of


SUBGROUPS: Final[Mapping[str, Callable[[Sequence[Cell]], _Name]]] = {
    MODALITY: _by_kind,
    SOURCE: _by_set,
    SIZE: _by_size,
}
