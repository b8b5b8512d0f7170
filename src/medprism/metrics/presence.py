"""Whether a structure is there at all: a score, its quality, and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32
from scipy.stats import rankdata

from medprism.core.errors import InternalError

MIN_PIXELS: Final = 16
SHARE: Final = 0.0005


def presence_score(probability: Float32[np.ndarray, "*grid"]) -> float:
    """Return the mean of the largest pixel probabilities, in 0..1: "is it in this image?".

    The largest 0.05 % of the pixels are averaged, at least 16 (all of a smaller map), so that one
    stray pixel is no evidence and a structure of 16 pixels is.

    Raises:
        InternalError: a map without pixels.

    >>> probability = np.zeros((20, 30), np.float32); probability[3, :8] = 1.0
    >>> presence_score(probability)
    0.5
    """
    flat = probability.ravel()
    if flat.size == 0:
        raise InternalError("a presence score needs at least one pixel")
    count = min(flat.size, max(MIN_PIXELS, round(SHARE * flat.size)))
    largest = np.partition(flat, flat.size - count)[flat.size - count :]
    return float(largest.mean(dtype=np.float64))


def presence_auc(scores: Sequence[float], is_present: Sequence[bool]) -> float:
    """Return how well scores tell presence from absence: the area under the ROC curve.

    It is the chance that a random present case scores above a random absent one, ties half.

    Raises:
        InternalError: another number of answers, or only one kind of case.

    >>> presence_auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    answers = np.asarray(is_present, dtype=bool)
    present, absent = int(answers.sum()), int((~answers).sum())
    if len(scores) != answers.size or not present or not absent:
        raise InternalError(
            f"{len(scores)} scores for {present} present and {absent} absent cases; "
            "give one score a case and at least one case of each kind"
        )
    ranks = rankdata(scores)
    pairs_won = float(ranks[answers].sum()) - present * (present + 1) / 2
    return pairs_won / (present * absent)


def false_positive_rate(predicted_areas: Sequence[int], minimum_area: int = 1) -> float:
    """Return the share of slices without the label on which something is predicted.

    `predicted_areas` are pixels predicted on each such slice; fewer than `minimum_area` count as
    nothing.

    Raises:
        InternalError: no slice.

    >>> false_positive_rate([0, 12, 0, 3], minimum_area=5)
    0.25
    """
    if not predicted_areas:
        raise InternalError("a false-positive rate needs at least one slice without the label")
    return sum(area >= minimum_area for area in predicted_areas) / len(predicted_areas)
