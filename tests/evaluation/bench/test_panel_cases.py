"""Which cases are shown, by a rule that needs no eye."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from medprism.core.errors import ConfigError
from medprism.evaluation.bench.panel_cases import choose_cases, shown_dice
from medprism.evaluation.results import Cell
from tests.evaluation.tables import make_cell, make_row


def cell(dataset: str, method: str, values: Sequence[float], protocol: str = "semantic") -> Cell:
    rows = tuple(
        make_row(dataset, case=f"c{n}", method=method, protocol=protocol, values=(value,))
        for n, value in enumerate(values)
    )
    made = make_cell(dataset, method=method)
    return Cell(made.facts, method, made.plan, rows)


def names(cells: Sequence[Cell], count: int) -> list[tuple[str, str, str]]:
    return [(one.protocol, one.why, one.case) for one in choose_cases(cells, count)]


def test_the_median_stands_first_then_the_worst_in_order() -> None:
    odd = cell("a", "kprism", (0.9, 0.1, 0.5, 0.7, 0.3))
    assert names([odd], 3) == [
        ("semantic", "median", "c2"),
        ("semantic", "worst 1", "c1"),
        ("semantic", "worst 2", "c4"),
    ]
    assert names([odd], 1) == [("semantic", "median", "c2")]
    assert [one.dice for one in choose_cases([odd], 3)] == [0.5, 0.1, 0.3]
    # Of four the lower median, which is never shown twice; ties by name.
    even = cell("a", "kprism", (0.4, 0.2, 0.8, 0.2))
    assert [case for _, _, case in names([even], 9)] == ["c3", "c1", "c0", "c2"]


def test_k_prism_decides_even_where_others_do_worse_and_others_where_it_was_not_examined() -> None:
    ours, theirs = cell("a", "kprism", (0.9, 0.8, 0.7)), cell("a", "iris", (0.1, 0.8, 0.9))
    assert {one.by for one in choose_cases([theirs, ours], 3)} == {"kprism"}
    assert [case for _, _, case in names([theirs, ours], 2)] == ["c1", "c2"]
    later = cell("a", "universeg", (0.9, 0.1, 0.5))
    assert {one.by for one in choose_cases([later, theirs], 2)} == {"iris"}


def test_each_set_and_way_of_asking_has_cases_of_its_own() -> None:
    cells = [
        cell("b", "kprism", (0.3, 0.6), "interactive"),
        cell("a", "kprism", (0.5,), "one-shot"),
        cell("a", "kprism", (0.5,), "refine-semantic"),
    ]
    found = choose_cases(cells, 2)
    assert [(one.dataset, one.protocol, one.why) for one in found] == [
        ("b", "interactive", "median"),
        ("b", "interactive", "worst 1"),
        ("a", "one-shot", "median"),
    ]
    with pytest.raises(ConfigError, match="0 cases of a set"):
        choose_cases(cells, 0)


def test_five_clicks_are_shown_or_as_many_as_there_were() -> None:
    series = (0.1, 0.2, 0.3, 0.4, 0.5, 0.9)
    assert shown_dice(make_row(protocol="interactive", values=series)) == 0.5
    assert shown_dice(make_row(protocol="interactive", values=(0.1, 0.2))) == 0.2
    assert shown_dice(make_row(values=(0.7,))) == 0.7
