"""Tiers never meet: official packages have tables, means and pictures of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medprism.evaluation.bench.official.failures import Failure
from medprism.evaluation.bench.pages import MISSING, grid_of
from medprism.evaluation.bench.tables import OFFICIAL, SAME_BUDGET, Table, make_tables, title_of
from medprism.evaluation.results import Cell
from tests.evaluation.tables import make_cell

THEIRS = "nnU-Net (official)"
OTHER = "SAM 2 (official)"
MEASURES = ("semantic", "clicks@5")


def cell(dataset: str, method: str, *protocols: str, role: str = "train") -> Cell:
    return make_cell(dataset, role=role, method=method, protocols=protocols or ("semantic",))


def failure(dataset: str, method: str = THEIRS, **changes: object) -> Failure:
    made = Failure(method, dataset, ("train",), ("semantic",), 10, "package missing", "no such")
    return replace(made, **changes)  # type: ignore[arg-type]


def by_tier(tables: tuple[Table, ...]) -> dict[tuple[str, str, str], Table]:
    found = {(one.tier, one.measure, one.role): one for one in tables}
    assert len(found) == len(tables)
    return found


def test_official_packages_stand_apart_and_move_no_other_mean() -> None:
    ours = [cell(name, method) for name in "abc" for method in ("kprism", "hermes")]
    alone = by_tier(make_tables(ours, MEASURES))
    both = by_tier(make_tables([*ours, cell("a", THEIRS), cell("d", THEIRS)], MEASURES))
    key = (SAME_BUDGET, "semantic", "train")
    assert both[key] == alone[key]
    theirs = both[OFFICIAL, "semantic", "train"]
    assert {line.system for line in theirs.lines} == {THEIRS}
    assert theirs.sets == theirs.common == ("a", "d")
    (line,) = theirs.lines
    assert (line.title, line.group, line.behind) == ("nnU-Net", OFFICIAL, None)
    assert line.mean is not None
    assert set(both) == {key, (OFFICIAL, "semantic", "train")}


def test_no_column_of_a_page_holds_two_tiers() -> None:
    cells = [cell("a", "kprism"), cell("a", "hermes"), cell("a", THEIRS)]
    ours, theirs = map(grid_of, make_tables(cells, MEASURES))
    assert [row[0] for row in ours.rows] == ["kprism", "hermes"]
    assert [row[0] for row in theirs.rows] == [THEIRS]
    assert "against K-Prism" in ours.header and "against K-Prism" not in theirs.header
    assert ours.rows[0][3] == "-" and ours.rows[1][3].startswith(("+", "-0", "-1"))
    assert theirs.title == "semantic (train), official packages"
    for grid in (ours, theirs):
        assert all(len(row) == len(grid.header) for row in grid.rows)


def test_a_cell_says_why_it_is_missing() -> None:
    cells = [cell("a", THEIRS), cell("a", OTHER), cell("b", OTHER), cell("a", "kprism")]
    lost = [failure("b"), failure("c", OTHER, kind="process ended")]
    table = by_tier(make_tables(cells, MEASURES, lost))[OFFICIAL, "semantic", "train"]
    assert table.sets == ("a", "b", "c") and table.common == ("a",)
    rows = {row[0]: row[3:] for row in grid_of(table).rows}
    assert rows[THEIRS][1:] == ("package missing", MISSING)
    assert rows[OTHER][2] == "process ended"
    # Without a failure the cell says only that it is missing, as ours do.
    assert make_tables(cells, MEASURES)[0].lines[0].lost == {}


def test_a_package_without_a_single_cell_has_a_line_nonetheless() -> None:
    (table,) = make_tables([], MEASURES, [failure("a"), failure("b")])
    assert (table.tier, table.sets) == (OFFICIAL, ("a", "b"))
    ((name, what, *rest),) = grid_of(table).rows
    assert (name, what) == (THEIRS, "nnU-Net (official package)")
    assert rest == [MISSING, "package missing", "package missing"]


@pytest.mark.parametrize(
    "changes",
    [{"roles": ("external",)}, {"protocols": ("interactive",)}, {"protocols": ()}],
)
def test_a_failure_stands_only_where_it_would_have_had_a_figure(
    changes: dict[str, object],
) -> None:
    tables = make_tables([cell("a", OTHER)], ("semantic",), [failure("b", **changes)])
    assert [one.sets for one in tables if one.role == "train"] == [("a",)]
    few = failure("b", protocols=("interactive",), clicks=3)
    assert make_tables([], ("clicks@5",), [few]) == ()
    assert len(make_tables([], ("clicks@3",), [few])) == 1


def test_titles_of_official_packages_and_of_others() -> None:
    assert title_of("nnI, fold 0 (official)") == ("nnI, fold 0", OFFICIAL)
    assert title_of("GrabCut")[1] == "no training at all"
