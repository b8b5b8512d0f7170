from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from sklearn.metrics import auc

from medprism.core.errors import InternalError
from medprism.metrics.interactive import (
    area_under_curve,
    dice_at,
    failure_rate,
    noc,
    num_failures,
)

series = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=14)
targets = st.floats(0.0, 1.0)
limits = st.integers(1, 12)


def _ritm_noc(ious: np.ndarray, threshold: float, max_clicks: int) -> int:
    """Count clicks as RITM's isegm.inference.utils.compute_noc_metric does."""
    values = ious >= threshold
    return int(np.argmax(values) + 1) if np.any(values) else max_clicks


@settings(deadline=None)
@given(dice=series, target=targets, limit=limits)
def test_noc_equals_that_of_ritm(dice: list[float], target: float, limit: int) -> None:
    assert noc(dice, target, limit) == _ritm_noc(np.array(dice[:limit]), target, limit)


@settings(deadline=None)
@given(dice=series, limit=limits)
def test_the_area_equals_scipy_and_scikit_learn(dice: list[float], limit: int) -> None:
    longer = np.array([*dice, *[dice[-1]] * limit])[:limit]
    if limit == 1:
        assert area_under_curve(dice, limit) == dice[0]
        return
    expected = trapezoid(longer) / (limit - 1)
    assert area_under_curve(dice, limit) == pytest.approx(expected, abs=1e-12)
    clicks = np.arange(1, limit + 1)
    assert auc(clicks, longer) / (limit - 1) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(cases=st.lists(series, min_size=1, max_size=6), target=targets, limit=limits)
def test_a_failure_is_a_case_below_the_target_at_every_click(
    cases: list[list[float]], target: float, limit: int
) -> None:
    best = np.array([max(case[:limit]) for case in cases])
    assert failure_rate(cases, target, limit) == pytest.approx(np.mean(best < target))


@settings(deadline=None)
@given(dice=series)
def test_a_series_that_ended_keeps_its_last_value(dice: list[float]) -> None:
    assert [dice_at(dice, click) for click in range(1, len(dice) + 1)] == dice
    assert dice_at(dice, len(dice) + 5) == dice[-1]


def test_a_target_reached_exactly_is_reached() -> None:
    assert noc([0.5, 18 / 20], 0.9) == 2
    assert failure_rate([[0.9]], 0.9) == 0.0


def test_empty_series_are_refused() -> None:
    for refused in (
        lambda: noc([]),
        lambda: dice_at([], 1),
        lambda: dice_at([0.5], 0),
        lambda: area_under_curve([], 3),
        lambda: failure_rate([]),
        lambda: failure_rate([[0.5], []]),
    ):
        with pytest.raises(InternalError, match="at least"):
            refused()


@settings(deadline=None)
@given(cases=st.lists(series, min_size=1, max_size=6), target=targets, limit=limits)
def test_failures_are_counted_as_ritm_finds_none(
    cases: list[list[float]], target: float, limit: int
) -> None:
    expected = sum(not np.any(np.array(case[:limit]) >= target) for case in cases)
    assert num_failures(cases, target, limit) == expected
    assert failure_rate(cases, target, limit) == expected / len(cases)
