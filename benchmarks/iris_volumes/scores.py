"""Dice of every class on every case, and what is said about many of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.iris_volumes.cases import Cases, Masks
from medprism.evaluation.intervals import Score, macro_interval
from medprism.inference.iris.encoding import VolumeReference
from medprism.metrics.bootstrap import Interval
from medprism.metrics.dice import dice

# Of a class, of a case.
Dices = dict[str, dict[str, float]]
Segment = Callable[[VolumeReference], Masks]


def score(found: Masks, truth: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return Dice of every class that was asked for and that the truth shows."""
    return {
        name: dice(mask, truth[name]) for name, mask in found.items() if bool(truth[name].any())
    }


def measure(cases: Cases, segment: Segment) -> Dices:
    """Return Dice of every class on every test case."""
    found: Dices = {}
    for case in cases.of("test"):
        query = cases.read(case)
        for name, value in score(segment(query), query.masks).items():
            found.setdefault(name, {})[case] = value
    return found


def means(found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every class over its cases.

    >>> means({"liver": {"a": 0.5, "b": 1.0}})
    {'liver': 0.75}
    """
    return {name: float(np.mean(list(values.values()))) for name, values in found.items()}


def interval(found: Mapping[str, Mapping[str, float]], patients: Mapping[str, str]) -> Interval:
    """Return the mean over classes with its bounds (95 %), patients resampled.

    >>> interval({"liver": {"a": 0.5, "b": 1.0}, "spleen": {"a": 0.25}}, {"a": "p", "b": "p"})
    Interval(mean=0.5, low=None, high=None)
    """
    return interval_over_sets({"set": found}, {"set": patients})


def interval_over_sets(
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
    patients: Mapping[str, Mapping[str, str]],
) -> Interval:
    """Return the mean over all classes of all sets with its bounds, patients resampled by set."""
    return macro_interval(
        [
            Score(dataset, name, patients[dataset][case], value)
            for dataset, dices in found.items()
            for name, values in dices.items()
            for case, value in values.items()
        ]
    )


def differences(
    first: Mapping[str, Mapping[str, float]], second: Mapping[str, Mapping[str, float]]
) -> Dices:
    """Return `first` - `second` of every class and case that both measured.

    >>> differences({"liver": {"a": 0.5, "b": 1.0}}, {"liver": {"a": 0.25}, "lung": {"a": 1.0}})
    {'liver': {'a': 0.25}}
    """
    found: Dices = {}
    for name, values in first.items():
        for case, value in values.items():
            if case in second.get(name, {}):
                found.setdefault(name, {})[case] = value - second[name][case]
    return found


def paired_difference(
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
    patients: Mapping[str, str],
) -> Interval | None:
    """Return the mean of `first` - `second` over classes, paired by case; None without a pair.

    >>> paired_difference({"liver": {"a": 0.5}}, {"liver": {"a": 0.25}}, {"a": "p"})
    Interval(mean=0.25, low=None, high=None)
    """
    shared = differences(first, second)
    return interval(shared, patients) if shared else None
