from __future__ import annotations

import pytest

from medprism.evaluation.measures import MEASURES, rows_for
from tests.evaluation.tables import make_row

FULL = {"clicks": 10, "refine_clicks": 3}
SERIES = (0.2, 0.5, 0.85, 0.91, 0.96)


def slow_noc(values: tuple[float, ...], target: float, cap: int = 10) -> int:
    for clicks in range(1, cap + 1):
        if clicks <= len(values) and values[clicks - 1] >= target:
            return clicks
    return cap


def test_every_measure_reads_its_place_in_a_series() -> None:
    row = make_row(protocol="interactive", values=SERIES)
    expected = {
        "clicks@1": 0.2,
        "clicks@3": 0.85,
        "clicks@5": 0.96,
        "clicks@10": 0.96,
        "failed@90": 0.0,
        "failed@95": 0.0,
    }
    for name, value in expected.items():
        assert MEASURES[name].of(row) == value
    refined = make_row(protocol="refine-semantic", values=(0.3, 0.6, 0.8))
    assert MEASURES["semantic+1"].of(refined) == 0.6
    assert MEASURES["semantic+3"].of(refined) == 0.8
    assert MEASURES["one-shot"].of(make_row(values=(0.4,))) == 0.4


@pytest.mark.parametrize(
    "values", [SERIES, (0.95,), (0.1,) * 10, (0.2, 0.9, 0.5), tuple(i / 10 for i in range(1, 11))]
)
def test_clicks_to_a_target_equal_a_slow_loop(values: tuple[float, ...]) -> None:
    row = make_row(protocol="interactive", values=values)
    for target in (0.90, 0.95):
        assert MEASURES[f"NoC@{target * 100:.0f}"].of(row) == slow_noc(values, target)
        failed = all(value < target for value in values)
        assert MEASURES[f"failed@{target * 100:.0f}"].of(row) == failed


def test_a_measure_takes_rows_of_its_protocol_only_and_needs_its_clicks() -> None:
    rows = [make_row(protocol=p) for p in ("semantic", "absent", "interactive", "refine-semantic")]
    assert [r.protocol for r in rows_for("semantic", rows, {})] == ["semantic"]
    assert [r.protocol for r in rows_for("found though absent", rows, {})] == ["absent"]
    assert [r.protocol for r in rows_for("NoC@90", rows, FULL)] == ["interactive"]
    assert rows_for("NoC@90", rows, {"clicks": 5}) == []
    assert len(rows_for("clicks@5", rows, {"clicks": 5})) == 1
    assert rows_for("clicks@1", rows, {}) == []
    assert len(rows_for("semantic+3", rows, FULL)) == 1
    assert rows_for("semantic+3", rows, {"clicks": 10, "refine_clicks": 2}) == []


@pytest.mark.parametrize(
    "values", [SERIES, (0.1,) * 20, (0.3,) * 13 + (0.92,) + (0.97,), (0.5,) * 19 + (0.96,)]
)
def test_twenty_clicks_have_a_cap_of_their_own(values: tuple[float, ...]) -> None:
    row = make_row(protocol="interactive", values=values)
    for target in (90, 95):
        assert MEASURES[f"NoC20@{target}"].of(row) == slow_noc(values, target / 100, 20)
        assert MEASURES[f"NoC@{target}"].of(row) == slow_noc(values, target / 100)
        failed = all(value < target / 100 for value in values)
        assert MEASURES[f"failed20@{target}"].of(row) == failed
    assert rows_for("NoC20@95", [row], FULL) == []
    assert rows_for("NoC20@95", [row], {"clicks": 20}) == [row]
