"""Does a first mask save clicks? Clicks to a Dice target after it, and from nothing, paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from medprism.core.errors import ConfigError, InternalError
from medprism.evaluation.intervals import Group, seeded_pooled_interval
from medprism.evaluation.protocols import INTERACTIVE, REFINE_IN_CONTEXT, REFINE_SEMANTIC
from medprism.evaluation.results import ResultRow
from medprism.metrics.bootstrap import Interval
from medprism.metrics.interactive import noc

TARGET: Final = 0.90
INITIALISED: Final = (REFINE_SEMANTIC, REFINE_IN_CONTEXT)


@dataclass(frozen=True)
class PairedClicks:
    """Clicks to the target on the same (slice, class) pairs, at most `cap` on either side.

    `after` counts those on a first mask (0 where the mask itself is good enough), `nothing` those
    without one. They go into `metrics.bootstrap.bootstrap_difference` as they are, with
    `patients`, which name the set too; `datasets` are those of the pairs.
    """

    protocol: str
    target: float
    cap: int
    after: tuple[float, ...]
    nothing: tuple[float, ...]
    patients: tuple[str, ...]
    datasets: tuple[str, ...]


def pair_clicks(
    rows: Sequence[ResultRow], protocol: str, *, cap: int, target: float = TARGET
) -> PairedClicks:
    """Pair the rows of a refinement with the interactive rows of the same method and pairs.

    A case that does not get there counts `cap` on either side. `cap` is at most the clicks that
    both protocols allowed (`ClickLimits`): with more on one side, the comparison would be unfair.
    Pairs that only one protocol answered are left out; there may be none.

    Raises:
        ConfigError: a protocol without a first mask, or a row that was given fewer clicks.
    """
    if protocol not in INITIALISED or cap < 1:
        raise ConfigError(
            f"protocol {protocol!r} with a cap of {cap} clicks; give one of "
            f"{', '.join(INITIALISED)} and at least 1"
        )
    key = {id(row): (row.method, *row.key) for row in rows}
    begun = {key[id(row)]: row for row in rows if row.protocol == protocol}
    pairs = [
        (begun[key[id(row)]], row)
        for row in rows
        if row.protocol == INTERACTIVE and key[id(row)] in begun
    ]
    return PairedClicks(
        protocol=protocol,
        target=target,
        cap=cap,
        after=tuple(
            0.0 if first.values[0] >= target else _clicks(first, first.values[1:], target, cap)
            for first, _ in pairs
        ),
        nothing=tuple(_clicks(row, row.values, target, cap) for _, row in pairs),
        patients=tuple(f"{row.dataset}, {row.unit}" for _, row in pairs),
        datasets=tuple(row.dataset for _, row in pairs),
    )


def saved_share(pairs: PairedClicks, *, seed: int = 0) -> Interval:
    """Return which share of the clicks a first mask saves, below 0 where it costs some.

    It is 1 - (sum of clicks after it) / (sum of clicks from nothing) of a set, averaged over sets;
    the 95 % interval resamples the patients of each set.

    Raises:
        InternalError: no pair.

    >>> counts = (0.0, 3.0), (2.0, 4.0)
    >>> saved_share(PairedClicks("refine-semantic", 0.9, 10, *counts, ("p", "q"), ("set", "set")))
    Interval(mean=0.5, low=0.25, high=1.0)
    """
    return seeded_saved_share([pairs], seed=seed)


def seeded_saved_share(runs: Sequence[PairedClicks], *, seed: int = 0) -> Interval:
    """Return the mean of `saved_share` over training runs; runs and patients are resampled.

    Raises:
        InternalError: no run, or one without a pair.
    """
    if any(not pairs.after for pairs in runs):
        raise InternalError("a share of saved clicks needs at least one pair")
    return seeded_pooled_interval(
        [_groups(pairs) for pairs in runs],
        lambda sums: 1.0 - sums[:, 0] / sums[:, 1],
        seed=seed,
    )


def _groups(pairs: PairedClicks) -> list[Group]:
    groups: list[Group] = []
    for dataset in dict.fromkeys(pairs.datasets):
        places = [place for place, name in enumerate(pairs.datasets) if name == dataset]
        counts = np.array([[pairs.after[place], pairs.nothing[place]] for place in places])
        groups.append((counts, [pairs.patients[place] for place in places]))
    return groups


def _clicks(row: ResultRow, values: Sequence[float], target: float, cap: int) -> float:
    # A series ends early only where nothing was wrong any more, or the clicks were used up.
    if len(values) < cap and max(row.values) < target and row.values[-1] < 1.0:
        raise ConfigError(
            f"{row.protocol} of {row.case} ended after {len(values)} clicks below Dice {target}; "
            f"give the protocol {cap} clicks, or compare with a cap of {len(values)}"
        )
    return float(noc(values, target, cap))
