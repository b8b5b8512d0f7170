"""What cells say: clicks and seconds an image, how many fewer than by clicks only, the curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from benchmarks.flywheel.cell import Cell, Turn
from benchmarks.flywheel.plan import CLICKS_ONLY, EXACT, FLYWHEEL, UserSettings
from benchmarks.flywheel.structure import Structure
from medprism.core.randomness import counter_rng

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000
GOAL: Final = 0.3
# The first image has no reference; then ever longer stretches of the way.
STRETCHES: Final = ((0, 1), (1, 5), (5, 10), (10, 20), (20, 40))
AFTER: Final = (0, 1, 3, 5, 10)

Table = Float64[np.ndarray, "orders images"]


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % bootstrap bounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Side:
    """One method: clicks an image (those that never get there count as the limit), and the rest.

    `reached` is the share of images that reach the target, `seconds` the median wait an image.
    `dice` is the mean after the numbers of clicks in `AFTER`; who has stopped keeps the last value.
    """

    median: Figure
    mean: Figure
    reached: float
    seconds: float
    dice: tuple[float, ...]


@dataclass(frozen=True)
class Stretch:
    """Images number `first` + 1 to `last` of the way, with Dice of the flywheel before a click."""

    first: int
    last: int
    clicks_only: float
    flywheel: float
    dice_before: float


@dataclass(frozen=True)
class Comparison:
    """Flywheel against clicks only, on the same images in the same orders."""

    structure: Structure
    user: str
    accepts: str
    images: int
    orders: int
    clicks_only: Side
    flywheel: Side
    fewer_by_median: Figure
    fewer_by_mean: Figure
    stretches: tuple[Stretch, ...]

    @property
    def meets_goal(self) -> bool:
        """Whether the median is at least 30 % below that of clicks only."""
        return self.fewer_by_median.value >= GOAL


@dataclass(frozen=True, eq=False)
class Tables:
    """Turns of both methods as tables: a row is an order, a column an image (the same in both).

    `place` says where an image came in an order, `patient` is a number for each column.
    """

    clicks_only: Table
    flywheel: Table
    place: Int64[np.ndarray, "orders images"]
    patient: Int64[np.ndarray, " images"]
    turns: Mapping[str, Sequence[Sequence[Turn]]]


def compare(cells: Sequence[Cell], user: UserSettings) -> tuple[Comparison, ...]:
    """Return a comparison for every structure, user and kind of acceptance in the cells.

    Orders of which the other side is missing are left out.
    """
    wanted = dict.fromkeys(
        (cell.plan.structure, cell.plan.user, cell.plan.accepts)
        for cell in cells
        if cell.plan.method == FLYWHEEL
    )
    found = []
    for structure, name, accepts in wanted:
        tables = tables_of(cells, structure, name, accepts, user)
        if tables is not None:
            found.append(_compare(tables, structure, (name, accepts), user))
    return tuple(found)


def tables_of(
    cells: Sequence[Cell], structure: Structure, name: str, accepts: str, user: UserSettings
) -> Tables | None:
    """Pair the cells of both methods by order; None where there is no pair."""
    mine = [cell for cell in cells if (cell.plan.structure, cell.plan.user) == (structure, name)]
    alone = {cell.plan.order: cell for cell in mine if cell.plan.method == CLICKS_ONLY}
    turning = {
        cell.plan.order: cell
        for cell in mine
        if cell.plan.method == FLYWHEEL and cell.plan.accepts == accepts
    }
    # An exact user clicks alike in every order as long as there are no references.
    pairs = [
        (alone[0 if name == EXACT else order], turning[order])
        for order in sorted(turning)
        if (0 if name == EXACT else order) in alone
    ]
    if not pairs:
        return None
    cases = sorted(turn.case for turn in pairs[0][1].turns)
    patients = {turn.case: turn.patient for turn in pairs[0][1].turns}
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patients.values()))}
    by_case = [[{turn.case: turn for turn in cell.turns} for cell in pair] for pair in pairs]
    places = [{turn.case: at for at, turn in enumerate(pair[1].turns)} for pair in pairs]
    turns = {
        method: [[pair[side][case] for case in cases] for pair in by_case]
        for side, method in enumerate((CLICKS_ONLY, FLYWHEEL))
    }
    return Tables(
        clicks_only=_clicks(turns[CLICKS_ONLY], user),
        flywheel=_clicks(turns[FLYWHEEL], user),
        place=np.array([[place[case] for case in cases] for place in places], np.int64),
        patient=np.array([numbers[patients[case]] for case in cases], np.int64),
        turns=turns,
    )


def fewer(flywheel: float, clicks_only: float) -> float:
    """Return by which share the flywheel needs fewer clicks; negative where it needs more.

    >>> fewer(3.0, 4.0), fewer(5.0, 4.0)
    (0.25, -0.25)
    """
    return 1 - flywheel / clicks_only


def _compare(
    tables: Tables, structure: Structure, how: tuple[str, str], user: UserSettings
) -> Comparison:
    drawn = _resample(tables)
    medians = [float(np.median(one)) for one in (tables.clicks_only, tables.flywheel)]
    means = [float(one.mean()) for one in (tables.clicks_only, tables.flywheel)]
    return Comparison(
        structure=structure,
        user=how[0],
        accepts=how[1],
        images=tables.flywheel.shape[1],
        orders=tables.flywheel.shape[0],
        clicks_only=_side(tables, CLICKS_ONLY, drawn[:, 0], user),
        flywheel=_side(tables, FLYWHEEL, drawn[:, 1], user),
        fewer_by_median=_figure(fewer(medians[1], medians[0]), 1 - drawn[:, 1, 0] / drawn[:, 0, 0]),
        fewer_by_mean=_figure(fewer(means[1], means[0]), 1 - drawn[:, 1, 1] / drawn[:, 0, 1]),
        stretches=_stretches(tables),
    )


def _side(
    tables: Tables,
    method: str,
    drawn: Float64[np.ndarray, "resamples 2"],
    user: UserSettings,
) -> Side:
    clicks = tables.clicks_only if method == CLICKS_ONLY else tables.flywheel
    turns = [turn for row in tables.turns[method] for turn in row]
    return Side(
        median=_figure(float(np.median(clicks)), drawn[:, 0]),
        mean=_figure(float(clicks.mean()), drawn[:, 1]),
        reached=sum(turn.is_reached(user.target) for turn in turns) / len(turns),
        seconds=float(np.median([turn.seconds for turn in turns])),
        dice=tuple(float(np.mean([turn.dice_after(count) for turn in turns])) for count in AFTER),
    )


def _stretches(tables: Tables) -> tuple[Stretch, ...]:
    before = np.array([[turn.before for turn in row] for row in tables.turns[FLYWHEEL]])
    found = []
    for first, last in STRETCHES:
        there = (tables.place >= first) & (tables.place < last)
        if there.any():
            found.append(
                Stretch(
                    first,
                    min(last, tables.place.shape[1]),
                    float(tables.clicks_only[there].mean()),
                    float(tables.flywheel[there].mean()),
                    float(before[there].mean()),
                )
            )
    return tuple(found)


def _resample(tables: Tables) -> Float64[np.ndarray, "resamples sides statistics"]:
    """Draw orders and patients with replacement, the same for both methods.

    Return the median and the mean of clicks only and of the flywheel in each resample.
    """
    rng = counter_rng(0, "flywheel")
    columns = [np.flatnonzero(tables.patient == one) for one in range(tables.patient.max() + 1)]
    found = np.empty((RESAMPLES, 2, 2))
    for number in range(RESAMPLES):
        rows = rng.integers(len(tables.place), size=len(tables.place))
        patients = rng.integers(len(columns), size=len(columns))
        chosen = np.ix_(rows, np.concatenate([columns[one] for one in patients]))
        for side, clicks in enumerate((tables.clicks_only, tables.flywheel)):
            part = clicks[chosen]
            found[number, side] = np.median(part), part.mean()
    return found


def _figure(value: float, drawn: Float64[np.ndarray, " resamples"]) -> Figure:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Figure(value, float(low), float(high))


def _clicks(turns: Sequence[Sequence[Turn]], user: UserSettings) -> Table:
    return np.array([[float(turn.clicks(user)) for turn in row] for row in turns])
