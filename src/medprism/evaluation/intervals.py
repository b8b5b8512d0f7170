"""Averages with confidence intervals: patients are resampled, classes weigh alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64

from medprism.core.errors import InternalError
from medprism.core.randomness import counter_rng
from medprism.metrics.bootstrap import Interval, percentile_interval

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000

# Counts of the images of a group, and the patient of each.
Group: TypeAlias = tuple[Float64[np.ndarray, "_ counts"], Sequence[str]]
# A mean, and what resamples give in its place (None where nothing varies).
_Resampled: TypeAlias = tuple[float, Float64[np.ndarray, " resamples"] | None]


@dataclass(frozen=True)
class Score:
    """One value of one class of one set, and the patient it comes from."""

    dataset: str
    concept: str
    patient: str
    value: float


def macro_interval(
    scores: Sequence[Score], *, over_sets: bool = False, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Return the mean over (set, class) pairs of the mean of each pair's values.

    With `over_sets` the pairs of a set are averaged first, then the sets. The percentile interval
    (95 %) resamples patients within each set, each with all values of all classes; a class that no
    drawn patient has is left out of that resample. No bounds where no set has two patients.

    Raises:
        InternalError: no score.

    >>> rows = [("a", "p", 0.2), ("a", "q", 0.4), ("b", "p", 0.9)]
    >>> round(macro_interval([Score("set", *row) for row in rows]).mean, 3)
    0.6
    """
    mean, drawn = _resampled(scores, over_sets, seed, resamples)
    return Interval(mean, None, None) if drawn is None else _interval(mean, drawn)


def seeded_interval(
    runs: Sequence[Sequence[Score]],
    *,
    over_sets: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean over training runs of `macro_interval`'s mean, runs and patients resampled.

    Each run holds values of the same patients, so that a resample draws patients once for all of
    them, and runs with replacement. With one run it is `macro_interval`.

    Raises:
        InternalError: no run, or one without a score.

    >>> rows = [Score("set", "liver", patient, 0.5) for patient in "ab"]
    >>> seeded_interval([rows, rows])
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    return _over_runs([_resampled(scores, over_sets, seed, resamples) for scores in runs], seed)


def _interval(mean: float, drawn: Float64[np.ndarray, " resamples"]) -> Interval:
    return percentile_interval(mean, drawn, CONFIDENCE)


def _resampled(scores: Sequence[Score], over_sets: bool, seed: int, resamples: int) -> _Resampled:
    """Return the mean, and what resamples of patients give; None where no set has two."""
    if not scores:
        raise InternalError("an average needs at least one value")
    by_set: dict[str, list[Score]] = {}
    for score in scores:
        by_set.setdefault(score.dataset, []).append(score)
    means, drawn, is_varied = [], [], False
    for dataset, members in by_set.items():
        sums, counts = _tables(members)
        means.append(_average((sums.sum(0) / counts.sum(0))[None], over_sets))
        rng = counter_rng(seed, dataset, "macro")
        weights = rng.multinomial(len(sums), [1 / len(sums)] * len(sums), size=resamples)
        with np.errstate(invalid="ignore"):
            resampled = (weights @ sums) / (weights @ counts)
        drawn.append(_average(resampled, over_sets))
        is_varied = is_varied or len(sums) > 1
    mean = float(np.nanmean(np.concatenate(means, axis=1)))
    if not is_varied:
        return mean, None
    spread: Float64[np.ndarray, " resamples"] = np.nanmean(np.concatenate(drawn, axis=1), axis=1)
    return mean, spread


def pooled_interval(
    groups: Sequence[Group],
    figure: Callable[[Float64[np.ndarray, "sums counts"]], Float64[np.ndarray, " sums"]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean over groups of a figure of each group's summed counts, with its interval.

    For figures of a whole set, which are no means over images. A group is a row of counts an image
    and the image's patient; `figure` turns rows of sums into one value each. The percentile
    interval (95 %) resamples patients within each group; no bounds where no group has two.

    Raises:
        InternalError: no group, or one without images.

    >>> counts = np.array([[1.0, 4.0], [3.0, 4.0]])
    >>> pooled_interval([(counts, "ab")], lambda sums: sums[:, 0] / sums[:, 1]).mean
    0.5
    """
    return seeded_pooled_interval([groups], figure, seed=seed, resamples=resamples)


def seeded_pooled_interval(
    runs: Sequence[Sequence[Group]],
    figure: Callable[[Float64[np.ndarray, "sums counts"]], Float64[np.ndarray, " sums"]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean over training runs of `pooled_interval`'s, runs and patients resampled.

    As `seeded_interval` does: the runs hold the same groups of the same patients, in one order.

    Raises:
        InternalError: no run, or one without a group or with one that has no images.

    >>> runs = [[(np.array([[part, 4.0], [part, 4.0]]), "ab")] for part in (1.0, 3.0)]
    >>> seeded_pooled_interval(runs, lambda sums: sums[:, 0] / sums[:, 1])
    Interval(mean=0.5, low=0.25, high=0.75)
    """
    return _over_runs([_pooled(groups, figure, seed, resamples) for groups in runs], seed)


def _pooled(
    groups: Sequence[Group],
    figure: Callable[[Float64[np.ndarray, "sums counts"]], Float64[np.ndarray, " sums"]],
    seed: int,
    resamples: int,
) -> _Resampled:
    if not groups or any(not len(patients) for _, patients in groups):
        raise InternalError("a pooled figure needs at least one image in every group")
    means, drawn = [], []
    for number, (counts, patients) in enumerate(groups):
        codes = _codes(patients)
        sums = np.zeros((max(codes) + 1, counts.shape[1]))
        np.add.at(sums, codes, counts)
        means.append(float(figure(sums.sum(0, keepdims=True))[0]))
        rng = counter_rng(seed, number, "pooled")
        weights = rng.multinomial(len(sums), [1 / len(sums)] * len(sums), size=resamples)
        drawn.append(figure(weights @ sums))
    mean = float(np.mean(means))
    if all(len(set(patients)) < 2 for _, patients in groups):
        return mean, None
    return mean, np.mean(drawn, axis=0)


def _over_runs(found: Sequence[_Resampled], seed: int) -> Interval:
    """Return the mean over runs, drawn with replacement; what they share is resampled alike."""
    if not found:
        raise InternalError("an average over runs needs at least one run")
    mean = float(np.mean([one for one, _ in found]))
    drawn = [spread for _, spread in found if spread is not None]
    if len(drawn) < len(found):
        return Interval(mean, None, None)
    resamples = len(drawn[0])
    rng = counter_rng(seed, "runs")
    chosen = rng.integers(len(drawn), size=(resamples, len(drawn)))
    return _interval(mean, np.stack(drawn)[chosen, np.arange(resamples)[:, None]].mean(1))


def _average(
    means: Float64[np.ndarray, "resamples classes"], over_sets: bool
) -> Float64[np.ndarray, "resamples columns"]:
    return np.nanmean(means, axis=1, keepdims=True) if over_sets else means


def _tables(
    scores: Sequence[Score],
) -> tuple[Float64[np.ndarray, "patients classes"], Float64[np.ndarray, "patients classes"]]:
    """Return sums and counts of values by patient and class."""
    patients = _codes([score.patient for score in scores])
    classes = _codes([score.concept for score in scores])
    sums = np.zeros((max(patients) + 1, max(classes) + 1))
    counts = np.zeros_like(sums)
    for score, patient, concept in zip(scores, patients, classes, strict=True):
        sums[patient, concept] += score.value
        counts[patient, concept] += 1
    return sums, counts


def _codes(values: Sequence[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    return [known.setdefault(value, len(known)) for value in values]
