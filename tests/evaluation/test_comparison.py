from __future__ import annotations

from dataclasses import replace

import pytest

from medprism.evaluation.comparison import common_rows, compare
from tests.evaluation.tables import make_cell


def test_methods_are_compared_on_the_pairs_they_share() -> None:
    ours, other = make_cell("a"), make_cell("a", method="GrabCut", protocols=("interactive",))
    fewer = replace(other, rows=tuple(r for r in other.rows if r.case in ("c1", "c2")))
    (found,) = compare("clicks@3", [ours, fewer, make_cell("b")])
    assert found.facts.dataset == "a"
    assert found.num_pairs == 5
    rows = [r for r in ours.rows if r.protocol == "interactive" and r.case in ("c1", "c2")]
    by_class: dict[str, list[float]] = {}
    for row in rows:
        by_class.setdefault(row.concept, []).append(row.values[min(3, len(row.values)) - 1])
    expected = sum(sum(v) / len(v) for v in by_class.values()) / len(by_class)
    assert found.figures["ours"].value == pytest.approx(expected)
    assert set(found.figures) == {"ours", "GrabCut"}


def test_a_method_with_too_few_clicks_is_not_compared() -> None:
    ours = make_cell("a")
    short = make_cell("a", method="GrabCut", protocols=("interactive",))
    short = replace(short, plan={"clicks": 3})
    assert len(compare("clicks@3", [ours, short])) == 1
    assert compare("clicks@5", [ours, short]) == ()
    assert compare("semantic", [ours, short]) == ()
    assert common_rows("semantic", []) == {}


def test_nothing_in_common_is_no_comparison() -> None:
    ours, other = make_cell("a"), make_cell("a", method="GrabCut")
    elsewhere = replace(other, rows=tuple(replace(r, case=f"x{r.case}") for r in other.rows))
    assert compare("semantic", [ours, elsewhere]) == ()
