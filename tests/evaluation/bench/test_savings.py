"""Clicks that first masks save, counted from cells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medprism.core.errors import InternalError
from medprism.evaluation.bench.savings import (
    first_dice,
    has_enough,
    paired,
    saved_clicks,
    saved_grid,
)
from medprism.evaluation.results import Cell
from tests.evaluation.tables import make_cell, make_row


def cell(dataset: str, method: str, after: int, *, role: str = "train", refine: int = 10) -> Cell:
    """Return a cell of five patients: 5 clicks from nothing, `after` on a mask by reference."""
    rows = []
    for number in range(5):
        common = {"role": role, "case": f"c{number}", "patient": f"p{number}", "method": method}
        series = (*(0.6,) * 4, 0.92)
        rows.append(make_row(dataset, protocol="interactive", values=series, **common))
        first = 0.91 if after == 0 else 0.4 + number / 10
        values = (first, *(0.6,) * (after - 1), *((0.95,) if after else ()))
        rows.append(make_row(dataset, protocol="refine-in-context", values=values, **common))
    made = make_cell(dataset, role=role, method=method)
    plan = {**made.plan, "clicks": 10, "refine_clicks": refine}
    return Cell(made.facts, method, plan, tuple(rows))


def test_a_row_for_each_system_and_role_that_has_enough_clicks() -> None:
    cells = [
        cell("b", "iris", 4),
        cell("b", "kprism", 0),
        cell("a", "kprism", 2),
        cell("c", "kprism", 3, role="external"),
        cell("a", "late-fusion", 2, refine=3),
    ]
    ours, outside, other = saved_clicks(cells)
    assert (ours.system, ours.role, ours.num_pairs) == ("kprism", "train", 10)
    # Means over the two sets, of 0 and 2 clicks.
    assert (ours.after, ours.nothing) == (1.0, 5.0)
    assert ours.share.mean == pytest.approx((1.0 + 0.6) / 2)
    assert ours.first == pytest.approx((0.91 + 0.6) / 2)
    assert (outside.role, outside.after) == ("external", 3.0)
    assert (other.system, other.share.mean) == ("iris", pytest.approx(0.2))
    grid = saved_grid((ours, outside, other))
    assert [row[0] for row in grid.rows] == ["kprism", "kprism", "iris"]
    assert grid.rows[1][2:] == (
        *("by reference", "external", "5", "0.600", "3.00", "5.00"),
        "+0.400 (+0.400 to +0.400)",
    )


def test_too_few_clicks_on_either_side_are_no_pairs() -> None:
    enough = cell("a", "kprism", 2)
    assert paired([enough], "refine-in-context") is not None
    assert paired([enough], "refine-semantic") is None
    for lacks in ("clicks", "refine_clicks"):
        few = replace(enough, plan={**enough.plan, lacks: 9})
        assert not has_enough(few.plan)
        assert paired([few], "refine-in-context") is None
        assert saved_clicks([few]) == ()
        with pytest.raises(InternalError, match="at least one value"):
            first_dice([few], "refine-in-context")
