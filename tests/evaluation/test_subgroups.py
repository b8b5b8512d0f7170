from __future__ import annotations

from dataclasses import replace

import pytest

from medprism.evaluation.results import Cell
from medprism.evaluation.subgroups import SUBGROUPS, area_share, size_limits, subgroups
from medprism.evaluation.summary import pooled
from medprism.metrics.overlap import Overlap
from tests.evaluation.tables import make_cell, make_row


def sized(cell: Cell) -> Cell:
    """Give case n of a cell a structure of n + 1 pixels of 100, alike in all protocols."""
    rows = tuple(
        replace(row, pixels=100, overlap=Overlap(9, int(row.case[1:]) + 1, 1)) for row in cell.rows
    )
    return replace(cell, rows=rows)


def several() -> list[Cell]:
    cells = [make_cell("b"), make_cell("a"), make_cell("b", method="other"), make_cell("pictures")]
    kinds = ("CT", "MR", "CT", "endoscopy")
    return [
        sized(replace(cell, facts=replace(cell.facts, kind=kind)))
        for cell, kind in zip(cells, kinds, strict=True)
    ]


@pytest.mark.parametrize("by", SUBGROUPS)
def test_every_row_is_in_one_group(by: str) -> None:
    cells = several()
    groups = subgroups(cells, by)
    found = [
        (cell.method, row.key, row.protocol)
        for group in groups.values()
        for cell in group
        for row in cell.rows
    ]
    wanted = [(cell.method, row.key, row.protocol) for cell in cells for row in cell.rows]
    assert sorted(found) == sorted(wanted)
    assert all(cell.plan == cells[0].plan for group in groups.values() for cell in group)


def test_groups_have_their_names_and_order() -> None:
    cells = several()
    assert {name: len(group) for name, group in subgroups(cells, "modality").items()} == {
        "CT": 2,
        "MR": 1,
        "endoscopy": 1,
    }
    assert list(subgroups(cells, "source")) == ["a", "b", "pictures"]
    assert list(subgroups(cells, "size")) == ["small", "medium", "large"]
    (of_a,) = subgroups(cells, "source")["a"]
    assert pooled("semantic", [of_a]) == pooled("semantic", [cells[1]])


def test_sizes_are_thirds_of_the_questions_not_of_the_rows() -> None:
    cells = several()
    # Three sets of 12 cases of two or three classes: sizes 1..12, ten questions a size and more.
    limits = size_limits(row for cell in cells for row in cell.rows)
    alone = size_limits(row for cell in cells if cell.method == "ours" for row in cell.rows)
    assert limits == alone
    groups = subgroups(cells, "size")
    for name, (low, high) in {"small": (1, 4), "medium": (5, 8), "large": (9, 12)}.items():
        sizes = {row.overlap.reference for cell in groups[name] for row in cell.rows}
        assert (min(sizes), max(sizes)) == (low, high)


def test_the_limit_belongs_to_the_smaller_side_and_one_size_is_small() -> None:
    row = make_row(pixels=200, overlap=Overlap(1, 50, 1))
    cell = replace(make_cell("a"), rows=(row, replace(row, case="other")))
    assert size_limits(cell.rows) == (0.25, 0.25)
    assert list(subgroups([cell], "size")) == ["small"]


def test_what_has_no_size_is_said() -> None:
    old = make_row()
    absent = make_row(case="x", protocol="absent", pixels=100, overlap=Overlap(3, 0, 0))
    shown = make_row(case="y", pixels=100, overlap=Overlap(3, 7, 2))
    assert (area_share(old), area_share(shown)) == (None, 0.07)
    assert size_limits([old, absent]) is None
    cell = replace(make_cell("a"), rows=(old, absent, shown))
    groups = subgroups([cell], "size")
    assert {name: len(group[0].rows) for name, group in groups.items()} == {
        "small": 1,
        "size unknown": 2,
    }
    assert list(subgroups([replace(cell, rows=(old,))], "size")) == ["size unknown"]
