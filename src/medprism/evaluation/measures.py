"""The figures that a report gives, each a function of one row."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medprism.core.errors import InternalError
from medprism.evaluation.protocols import (
    ABSENT,
    INTERACTIVE,
    ONE_SHOT,
    REFINE_IN_CONTEXT,
    REFINE_SEMANTIC,
    SEMANTIC,
)
from medprism.evaluation.results import ResultRow
from medprism.evaluation.shots import DRAWS, K_SHOT, K_SHOT_POSITIONS, REFERENCE_DRAWS, SHOTS
from medprism.evaluation.volumes import VOLUME_IN_CONTEXT, VOLUME_SEMANTIC
from medprism.metrics.interactive import dice_at, failure_rate, noc
from medprism.metrics.surface import SurfaceScore

CAP: Final = 10
LONG_CAP: Final = 20


@dataclass(frozen=True)
class Measure:
    """A figure of the rows of one protocol; `clicks` is what it needs to have been given.

    With `is_in_mm` it needs rows that compare borders in mm.
    """

    protocol: str
    of: Callable[[ResultRow], float]
    meaning: str
    clicks: int = 0
    is_in_mm: bool = False


def _after(clicks: int) -> Callable[[ResultRow], float]:
    return lambda row: dice_at(row.values, clicks)


def _refined(clicks: int) -> Callable[[ResultRow], float]:
    return lambda row: dice_at(row.values, clicks + 1)


def _noc(target: float, cap: int = CAP) -> Callable[[ResultRow], float]:
    return lambda row: float(noc(row.values, target, cap))


def _failed(target: float, cap: int = CAP) -> Callable[[ResultRow], float]:
    return lambda row: failure_rate([row.values], target, cap)


def _over_values(of: Callable[[Sequence[float]], float]) -> Callable[[ResultRow], float]:
    return lambda row: of(row.values)


def _border(of: Callable[[SurfaceScore], float]) -> Callable[[ResultRow], float]:
    def figure(row: ResultRow) -> float:
        if row.surface is None:
            raise InternalError(f"{row.case} has no distances in mm; `rows_for` leaves it out")
        return of(row.surface)

    return figure


def _had(place: int) -> Callable[[ResultRow], float]:
    return lambda row: float(row.shots[place])


MEASURES: Final[Mapping[str, Measure]] = {
    "semantic": Measure(SEMANTIC, _after(1), "Dice by class"),
    "one-shot": Measure(ONE_SHOT, _after(1), "Dice by one fixed reference"),
    **{
        f"clicks@{number}": Measure(
            INTERACTIVE, _after(number), f"Dice after {number} clicks, nothing else", number
        )
        for number in (1, 3, 5, 10)
    },
    "NoC@90": Measure(INTERACTIVE, _noc(0.90), "clicks to Dice 0.90, at most 10", CAP),
    "NoC@95": Measure(INTERACTIVE, _noc(0.95), "clicks to Dice 0.95, at most 10", CAP),
    "failed@90": Measure(INTERACTIVE, _failed(0.90), "share below 0.90 after 10 clicks", CAP),
    "failed@95": Measure(INTERACTIVE, _failed(0.95), "share below 0.95 after 10 clicks", CAP),
    **{
        f"semantic+{number}": Measure(
            REFINE_SEMANTIC, _refined(number), f"Dice by class and {number} clicks", number
        )
        for number in (1, 3)
    },
    **{
        f"one-shot+{number}": Measure(
            REFINE_IN_CONTEXT, _refined(number), f"Dice by reference and {number} clicks", number
        )
        for number in (1, 3)
    },
    "found though absent": Measure(
        ABSENT,
        lambda row: float(row.overlap.mask > 0),
        "share of slices without the class on which at least one pixel is found",
    ),
    **{
        f"NoC{LONG_CAP}@{target}": Measure(
            INTERACTIVE,
            _noc(target / 100, LONG_CAP),
            f"clicks to Dice 0.{target}, at most {LONG_CAP}",
            LONG_CAP,
        )
        for target in (90, 95)
    },
    **{
        f"failed{LONG_CAP}@{target}": Measure(
            INTERACTIVE,
            _failed(target / 100, LONG_CAP),
            f"share below 0.{target} after {LONG_CAP} clicks",
            LONG_CAP,
        )
        for target in (90, 95)
    },
    **{
        f"{count}-shot": Measure(
            K_SHOT, _after(place), f"Dice by {count} references, or all there are"
        )
        for place, count in enumerate(SHOTS, start=1)
    },
    "references in 9-shot": Measure(K_SHOT, _had(-1), "how many references 9-shot had"),
    **{
        f"{count}-shot at positions": Measure(
            K_SHOT_POSITIONS,
            _after(place),
            f"Dice by slices of one other volume at {count} positions of the structure",
        )
        for place, count in enumerate(SHOTS, start=1)
    },
    "references in 9-shot at positions": Measure(
        K_SHOT_POSITIONS, _had(-1), "how many different slices the nine positions gave"
    ),
    **{
        f"reference {name}": Measure(
            REFERENCE_DRAWS,
            _over_values(of),
            f"{meaning} of a slice's Dice over {DRAWS} references shown one at a time",
        )
        for name, of, meaning in (
            ("mean", statistics.fmean, "mean"),
            ("std", statistics.pstdev, "standard deviation (of a population)"),
            ("min", min, "least"),
            ("max", max, "greatest"),
        )
    },
    **{
        f"volume {name}{by}": Measure(
            protocol, of, f"{meaning} of a whole volume, {said}", 0, in_mm
        )
        for protocol, by, said in (
            (VOLUME_SEMANTIC, "", "by class"),
            (VOLUME_IN_CONTEXT, " by reference", "by slices of one other volume"),
        )
        for name, of, meaning, in_mm in (
            ("Dice", _after(1), "Dice", False),
            ("HD95", _border(lambda one: one.hausdorff_95), "95 % Hausdorff distance in mm", True),
            ("NSD", _border(lambda one: one.dice), "surface Dice at the run's tolerance", True),
        )
    },
}

FAILURES: Final = tuple(f"failed{cap}@{target}" for cap in ("", LONG_CAP) for target in (90, 95))
HEADLINE: Final = ("semantic", "one-shot", "clicks@1", "clicks@3", "clicks@5")


def rows_for(name: str, rows: Sequence[ResultRow], plan: Mapping[str, object]) -> list[ResultRow]:
    """Return the rows that a measure is computed on; none where it was given too few clicks.

    `plan` is that of the cell the rows come from.
    """
    measure = MEASURES[name]
    allowed = plan.get("refine_clicks" if "+" in name else "clicks", 0)
    if measure.clicks and not (isinstance(allowed, int) and allowed >= measure.clicks):
        return []
    return [
        row
        for row in rows
        if row.protocol == measure.protocol and not (measure.is_in_mm and row.surface is None)
    ]
