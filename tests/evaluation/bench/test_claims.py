"""Verdicts on claims, on made-up cells whose differences are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from medprism.evaluation.bench.claims import (
    CLAIMS,
    MARGIN,
    Claim,
    Difference,
    Figure,
    Saving,
    claims_grid,
    judge,
)
from medprism.evaluation.bench.systems import SYSTEMS
from medprism.evaluation.initialisation import pair_clicks, saved_share
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.results import Cell
from tests.evaluation.tables import make_cell, make_row

BETTER = Claim(
    "better", (Difference(Figure("kprism", "semantic", "train"), Figure("b", "semantic", "train")),)
)


def cell(method: str, values: Sequence[float], role: str = "train") -> Cell:
    """Return a cell with one value a patient."""
    rows = tuple(
        make_row("set", role=role, case=f"c{n}", patient=f"p{n}", method=method, values=(value,))
        for n, value in enumerate(values)
    )
    made = make_cell("set", role=role, method=method)
    return Cell(made.facts, method, made.plan, rows)


def verdict(cells: Sequence[Cell], claim: Claim = BETTER) -> str:
    (found,) = judge(cells, (claim,))
    return found.verdict


GOOD, WORSE = (0.8, 0.9, 0.7, 0.85), (0.6, 0.7, 0.5, 0.66)


def seeds(method: str, values: Sequence[float]) -> list[Cell]:
    return [cell(method, values), cell(f"{method}@2", [value - 0.01 for value in values])]


def test_a_difference_that_every_resample_has_is_shown_and_its_opposite_fails() -> None:
    assert verdict([*seeds("kprism", GOOD), *seeds("b", WORSE)]) == "shown"
    assert verdict([*seeds("kprism", WORSE), *seeds("b", GOOD)]) == "fails"
    mixed = (0.9, 0.6, 0.9, 0.6)
    assert verdict([*seeds("kprism", mixed), *seeds("b", (0.75,) * 4)]) == "undecided"


def test_one_seed_shows_no_direction_between_systems_but_does_within_one() -> None:
    assert verdict([cell("kprism", GOOD), cell("b", WORSE)]) == "undecided"
    within = Claim(
        "within",
        (Difference(Figure("kprism", "semantic", "train"), Figure("kprism", "one-shot", "train")),),
    )
    both = cell("kprism", GOOD)
    by_example = tuple(
        make_row(
            "set",
            case=row.case,
            patient=row.patient,
            method="kprism",
            protocol="one-shot",
            values=(0.2,),
        )
        for row in both.rows
    )
    together = Cell(both.facts, "kprism", both.plan, both.rows + by_example)
    assert verdict([together], within) == "shown"


def test_a_main_model_below_the_floor_shows_nothing() -> None:
    poor, poorer = [value - 0.5 for value in GOOD], [value - 0.5 for value in WORSE]
    assert verdict([*seeds("kprism", poor), *seeds("b", poorer)]) == "below the floor"


def test_as_good_as_allows_a_margin() -> None:
    near = Claim("near", (Difference(*(BETTER.parts[0].first, BETTER.parts[0].second), -MARGIN),))
    close = [value + 0.01 for value in GOOD]
    assert verdict([*seeds("kprism", GOOD), *seeds("b", close)], near) == "shown"
    assert verdict([*seeds("kprism", GOOD), *seeds("b", close)]) == "fails"


def test_what_is_missing_is_said_and_what_cannot_be_asked_is_left_out() -> None:
    assert verdict([*seeds("kprism", GOOD)]) == "not measured"
    clicked = make_cell("set", method="b", protocols=("interactive",))
    assert judge([*seeds("kprism", GOOD), clicked], (BETTER,)) == ()


def test_the_list_names_systems_measures_and_every_rival() -> None:
    parts = [part for claim in CLAIMS for part in claim.parts]
    compared = [part for part in parts if isinstance(part, Difference)]
    named = {figure for part in compared for figure in (part.first, part.second)}
    assert {one.system for one in named} <= set(SYSTEMS)
    assert {one.measure for one in named} <= set(MEASURES)
    found = judge([*seeds("kprism", GOOD)])
    assert {one.verdict for one in found} == {"not measured"}
    grid = claims_grid(found)
    assert len(grid.rows) == len(found) > 20
    assert all(len(row) == len(grid.header) for row in grid.rows)


def test_one_patient_decides_nothing() -> None:
    assert verdict([*seeds("kprism", (0.9,)), *seeds("b", (0.1,))]) == "undecided"


def clicked(method: str, *, refine: int = 10, first: float = 0.8, after: int = 1) -> Cell:
    """Return a cell in which a first mask needs `after` clicks and nothing needs 7, give or take.

    Every fourth patient saves nothing, so that the interval has a width.
    """
    rows = []
    for number in range(8):
        common = {"case": f"c{number}", "patient": f"p{number}", "method": method}
        clicks = 7 if number % 4 == 3 else after
        series = (*(0.7,) * 6, 0.95)
        rows.append(make_row("set", protocol="interactive", values=series, **common))
        values = (first, *(0.8,) * (clicks - 1), 0.95)
        rows.append(make_row("set", protocol="refine-semantic", values=values, **common))
    made = make_cell("set", method=method)
    plan = {**made.plan, "clicks": 10, "refine_clicks": refine}
    return Cell(made.facts, method, plan, tuple(rows))


SAVES = Claim("saves", (Saving("kprism", "refine-semantic", "train"),))


def test_clicks_that_a_first_mask_saves_are_judged_as_differences_are() -> None:
    (found,) = judge([clicked("kprism")], (SAVES,))
    pairs = pair_clicks(clicked("kprism").rows, "refine-semantic", cap=10)
    assert found.interval is not None
    assert found.interval == saved_share(pairs)
    # Six patients save 6 of 7 clicks, two none.
    assert found.interval.mean == pytest.approx(6 * 6 / (8 * 7))
    assert (found.verdict, found.seeds) == ("shown", 1)
    assert verdict([clicked("kprism", after=6)], SAVES) == "fails"
    assert verdict([clicked("kprism", after=3)], SAVES) == "undecided"
    assert verdict([clicked("kprism", first=0.2)], SAVES) == "below the floor"


def test_savings_of_several_seeds_are_averaged() -> None:
    (found,) = judge([clicked("kprism"), clicked("kprism@2", after=3)], (SAVES,))
    assert found.seeds == 2
    assert found.interval is not None
    assert found.interval.mean == pytest.approx((24 / 56 + 36 / 56) / 2)
    assert found.interval.low < 24 / 56 < 36 / 56 < found.interval.high  # type: ignore[operator]


def test_clicks_of_other_limits_are_never_mixed_in() -> None:
    few = clicked("kprism", refine=3)
    assert verdict([few], SAVES) == "not measured"
    (found,) = judge([few, clicked("kprism")], (SAVES,))
    (alone,) = judge([clicked("kprism")], (SAVES,))
    assert found == alone


def test_a_saving_is_said_in_words() -> None:
    (row,) = claims_grid(judge([clicked("kprism")], (SAVES,))).rows
    assert row[:4] == ("saves", "train", "clicks saved by class of kprism", "+0.30")
