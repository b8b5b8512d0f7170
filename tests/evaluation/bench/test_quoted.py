"""The quoted tables: whole rows, and the means of columns as they were recomputed."""

from __future__ import annotations

import pytest

from medprism.evaluation.bench.quoted import (
    BY_CLASS,
    BY_REFERENCE,
    QUOTED,
    QuotedTable,
    quoted_grids,
)


@pytest.mark.parametrize("table", QUOTED, ids=lambda table: table.title)
def test_every_row_has_every_column(table: QuotedTable) -> None:
    assert all(len(row.figures) == len(table.columns) for row in table.rows)
    assert table.rows[-1].method == "K-Prism"


def test_the_printed_averages_of_table_2_are_not_the_means_of_its_columns() -> None:
    found = {row.method: round(row.mean, 2) for row in BY_CLASS.rows}
    assert found == {
        "nnU-Net": 81.00,
        "Clip-driven": 82.89,
        "UniSeg": 81.53,
        "Hermes": 83.37,
        "K-Prism": 84.44,
    }
    shown = {row.method: round(row.mean, 2) for row in BY_REFERENCE.rows}
    assert (shown["UniverSeg"], shown["Iris"], shown["K-Prism"]) == (69.98, 80.46, 82.89)
    off = [row.method for row in BY_CLASS.rows if abs(row.mean - (row.printed or 0)) > 0.01]
    assert off == ["Clip-driven", "UniSeg", "Hermes", "K-Prism"]


def test_a_quoted_table_shows_both_averages_or_none() -> None:
    first, *_, last = quoted_grids()
    assert first.header[1:3] == ("mean of the columns", "printed average")
    assert first.rows[-1][1:3] == ("84.44", "86.21")
    assert len(last.header) == 13
    assert all(len(row) == len(last.header) for row in last.rows)
