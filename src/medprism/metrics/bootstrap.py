"""Confidence intervals of means, resampling patients: slices of one patient are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from medprism.core.errors import ConfigError, InternalError
from medprism.core.randomness import counter_rng

_BLOCK: Final = 256


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; no bounds where there are fewer than two patients."""

    mean: float
    low: float | None
    high: float | None


def percentile_interval(
    mean: float, resampled: Float64[np.ndarray, " resamples"], confidence: float
) -> Interval:
    """Return a mean with the middle share (`confidence`) of what its resamples gave."""
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(resampled, (tail, 1.0 - tail))
    return Interval(mean, float(low), float(high))


def bootstrap_mean(
    values: Sequence[float],
    patients: Sequence[str],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Return the mean of all values and its percentile bootstrap interval over patients.

    Patients are drawn with replacement, each with all of its values; the mean of a resample is
    over its values, so that patients weigh by their number of values, as in the mean itself.

    Raises:
        InternalError: no value, or another number of patients than values.
        ConfigError: a confidence outside 0..1 or no resamples.

    >>> interval = bootstrap_mean([0.5, 0.7, 0.9, 0.9], ["a", "a", "b", "c"], seed=3)
    >>> interval.mean, interval.low, interval.high
    (0.75, 0.6, 0.9)
    """
    _check(len(values), len(patients), confidence, resamples)
    array = np.asarray(values, dtype=np.float64)
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    sums = np.bincount(patient, weights=array)
    counts = np.bincount(patient)
    mean = float(array.mean())
    if len(counts) < 2:
        return Interval(mean, None, None)
    means = _resampled_means(sums, counts, seed=seed, resamples=resamples)
    return percentile_interval(mean, means, confidence)


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    patients: Sequence[str],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Return the mean of `first` - `second`, paired by place, with its interval over patients.

    The methods differ at this confidence where the interval leaves out 0.

    >>> bootstrap_difference([0.75, 1.0], [0.5, 0.75], ["a", "b"], seed=1)
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    if len(first) != len(second):
        raise InternalError(f"{len(first)} values cannot be paired with {len(second)}")
    differences = [one - other for one, other in zip(first, second, strict=True)]
    return bootstrap_mean(
        differences, patients, seed=seed, confidence=confidence, resamples=resamples
    )


def _resampled_means(
    sums: Float64[np.ndarray, " patients"],
    counts: Int64[np.ndarray, " patients"],
    *,
    seed: int,
    resamples: int,
) -> Float64[np.ndarray, " resamples"]:
    rng = counter_rng(seed, "bootstrap")
    means = []
    for start in range(0, resamples, _BLOCK):
        size = (min(_BLOCK, resamples - start), len(sums))
        drawn = rng.integers(len(sums), size=size)
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)


def _check(num_values: int, num_patients: int, confidence: float, resamples: int) -> None:
    if num_values == 0 or num_values != num_patients:
        raise InternalError(
            f"{num_values} values of {num_patients} patients; give one patient a value, and some"
        )
    if not 0.0 < confidence < 1.0 or resamples < 1:
        raise ConfigError(
            f"confidence {confidence} must lie between 0 and 1, resamples {resamples} be at least 1"
        )
