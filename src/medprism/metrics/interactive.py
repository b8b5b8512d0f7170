"""What a series of Dice values after 1, 2, 3... clicks says: NoC, Dice@k, failures, area.

A series that ends early keeps its last value: the user stopped because it was good enough. An
empty series has nothing to say and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from medprism.core.errors import InternalError


def noc(dice_per_click: Sequence[float], target: float = 0.9, limit: int = 10) -> int:
    """Count the clicks needed to reach a Dice target.

    A case that never gets there counts as `limit` (10 in the K-Prism tables, 20 in RITM's).

    >>> noc([0.55, 0.88, 0.93])
    3
    >>> noc([0.5, 0.6, 0.6])
    10
    """
    _check(dice_per_click, limit)
    reached = _first_reaching(dice_per_click[:limit], target)
    return limit if reached is None else reached


def dice_at(dice_per_click: Sequence[float], click: int) -> float:
    """Return Dice after a number of clicks, counted from 1.

    >>> dice_at([0.55, 0.88, 0.93], 2), dice_at([0.55, 0.88, 0.93], 7)
    (0.88, 0.93)
    """
    _check(dice_per_click, click)
    return dice_per_click[min(click, len(dice_per_click)) - 1]


def failure_rate(cases: Sequence[Sequence[float]], target: float = 0.9, limit: int = 10) -> float:
    """Return the share of cases that never reach the target within the limit.

    >>> failure_rate([[0.55, 0.93], [0.5, 0.6], [0.95]], target=0.9)
    0.3333333333333333
    """
    if not cases:
        raise InternalError("a failure rate of no cases; give at least one series of Dice")
    return num_failures(cases, target, limit) / len(cases)


def num_failures(cases: Sequence[Sequence[float]], target: float = 0.9, limit: int = 10) -> int:
    """Count the cases that never reach the target within the limit.

    >>> num_failures([[0.55, 0.93], [0.5, 0.6], [0.95]], target=0.9)
    1
    """
    for case in cases:
        _check(case, limit)
    return sum(_first_reaching(case[:limit], target) is None for case in cases)


def area_under_curve(dice_per_click: Sequence[float], limit: int = 10) -> float:
    """Return the area under Dice over clicks 1..`limit` by trapezoids, divided by `limit` - 1.

    So a constant series gives its value; with a limit of 1 it is the first Dice.

    >>> round(area_under_curve([0.5, 0.7, 0.9], limit=3), 6)
    0.7
    """
    _check(dice_per_click, limit)
    values = [dice_at(dice_per_click, click) for click in range(1, limit + 1)]
    if limit == 1:
        return values[0]
    return (sum(values) - 0.5 * (values[0] + values[-1])) / (limit - 1)


def _first_reaching(dice_per_click: Sequence[float], target: float) -> int | None:
    hits = (click for click, dice in enumerate(dice_per_click, start=1) if dice >= target)
    return next(hits, None)


def _check(dice_per_click: Sequence[float], clicks: int) -> None:
    if not dice_per_click or clicks < 1:
        raise InternalError(
            f"{len(dice_per_click)} Dice values and {clicks} clicks; both must be at least 1"
        )
