from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from medprism.core.errors import ConfigError, InternalError
from medprism.metrics.bootstrap import Interval, bootstrap_difference, bootstrap_mean


def test_equals_scipy_where_every_patient_has_one_value() -> None:
    values = np.random.default_rng(4).beta(5, 2, 60)
    patients = [f"p{i}" for i in range(60)]
    found = bootstrap_mean(values.tolist(), patients, seed=1, resamples=20000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(8)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.03 * width)
    assert found.high == pytest.approx(expected.high, abs=0.03 * width)


def test_equals_the_exact_distribution_of_four_patients() -> None:
    groups = {"a": [0.10, 0.35, 0.21], "b": [0.9], "c": [0.52, 0.47], "d": [0.66]}
    values = [value for group in groups.values() for value in group]
    patients = [name for name, group in groups.items() for _ in group]
    every = itertools.product(groups.values(), repeat=4)
    exact = np.array([np.mean(np.concatenate(drawn)) for drawn in every])
    found = bootstrap_mean(values, patients, seed=2, confidence=0.8, resamples=40000)
    assert found.low is not None
    assert found.high is not None
    for bound, tail in ((found.low, 0.1), (found.high, 0.9)):
        below, up_to = np.mean(exact < bound - 1e-9), np.mean(exact <= bound + 1e-9)
        assert below - 0.01 <= tail <= up_to + 0.01


def test_patients_are_resampled_not_slices() -> None:
    rng = np.random.default_rng(3)
    level = rng.random(20)
    values = np.repeat(level, 50)
    patients = [f"p{i}" for i in np.repeat(np.arange(20), 50)]
    by_patient = bootstrap_mean(values.tolist(), patients, seed=5)
    by_slice = bootstrap_mean(values.tolist(), [str(i) for i in range(1000)], seed=5)
    assert None not in (by_patient.low, by_patient.high, by_slice.low, by_slice.high)
    ratio = (by_patient.high - by_patient.low) / (by_slice.high - by_slice.low)
    assert ratio == pytest.approx(np.sqrt(50), rel=0.2)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(300):
        sample = rng.normal(0.3, 1.0, 40)
        interval = bootstrap_mean(
            sample.tolist(), [str(i) for i in range(40)], seed=trial, confidence=0.9, resamples=400
        )
        covered += interval.low <= 0.3 <= interval.high
    assert covered / 300 == pytest.approx(0.9, abs=0.06)


def test_the_difference_is_paired() -> None:
    rng = np.random.default_rng(1)
    first = rng.random(40)
    second = first - 0.05 + 0.01 * rng.standard_normal(40)
    patients = [str(i) for i in range(40)]
    found = bootstrap_difference(first.tolist(), second.tolist(), patients, seed=6)
    assert found.mean == pytest.approx((first - second).mean())
    assert found.low > 0.04
    assert found.high < 0.06
    swapped = bootstrap_difference(second.tolist(), first.tolist(), patients, seed=6)
    assert swapped.low == pytest.approx(-found.high, abs=1e-3)


def test_it_depends_on_the_seed_only() -> None:
    values = np.random.default_rng(0).random(30).tolist()
    patients = [str(i) for i in range(30)]
    intervals = [bootstrap_mean(values, patients, seed=seed) for seed in (3, 3, 4)]
    assert intervals[0] == intervals[1]
    assert intervals[0] != intervals[2]


def test_one_patient_gives_no_bounds() -> None:
    assert bootstrap_mean([0.5, 1.0], ["a", "a"], seed=0) == Interval(0.75, None, None)


def test_mistakes_are_named() -> None:
    with pytest.raises(InternalError, match="0 values"):
        bootstrap_mean([], [], seed=0)
    with pytest.raises(InternalError, match="2 values of 1 patients"):
        bootstrap_mean([0.1, 0.2], ["a"], seed=0)
    with pytest.raises(InternalError, match="cannot be paired"):
        bootstrap_difference([0.1, 0.2], [0.1], ["a", "b"], seed=0)
    with pytest.raises(ConfigError, match=r"confidence 1\.0"):
        bootstrap_mean([0.1, 0.2], ["a", "b"], seed=0, confidence=1.0)
