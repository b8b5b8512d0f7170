"""How much the choice of the one reference matters, over whole evaluations [KPrism, Table 9]."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from medprism.core.errors import InternalError
from medprism.evaluation.intervals import Score, macro_interval
from medprism.evaluation.results import ResultRow
from medprism.evaluation.shots import REFERENCE_DRAWS


@dataclass(frozen=True)
class Sensitivity:
    """Mean, standard deviation and range of the average Dice over evaluations.

    Each evaluation shows every query one reference; there are `num_draws` of them.
    """

    mean: float
    std: float
    low: float
    high: float
    num_draws: int
    num_pairs: int


def sensitivity(rows: Sequence[ResultRow], *, over_sets: bool = False) -> Sensitivity:
    """Return how the average of all queries varies with the reference.

    The n-th evaluation has the n-th value of every row of the protocol "reference-draws", averaged
    as elsewhere: over (set, class) pairs, or sets first. Draws that some row lacks are left out.
    The deviation is that of a population, 0 for a single draw. It is smaller than the mean of the
    rows' own deviations ("reference std"), as a reference is good for some queries only.

    Raises:
        InternalError: no row of the protocol.
    """
    drawn = [row for row in rows if row.protocol == REFERENCE_DRAWS]
    if not drawn:
        raise InternalError("no row of the protocol reference-draws to compare references with")
    averages = [
        macro_interval(
            [Score(row.dataset, row.concept, row.unit, row.values[draw]) for row in drawn],
            over_sets=over_sets,
            resamples=1,
        ).mean
        for draw in range(min(len(row.values) for row in drawn))
    ]
    return Sensitivity(
        mean=statistics.fmean(averages),
        std=statistics.pstdev(averages),
        low=min(averages),
        high=max(averages),
        num_draws=len(averages),
        num_pairs=len(drawn),
    )
