"""The K-Prism paper's directional claims, held against what a bench measured.

A claim is about differences of two figures on the same pairs, or about the share of clicks that a
first mask saves (`savings`). It is shown where the interval over seeds and patients lies on the
claimed side of the limit and the main model's own figure reaches `FLOOR` (of a saving, Dice of the
first mask); it fails where the interval lies on the other side; else it is undecided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Final, Literal, TypeAlias

from medprism.evaluation.bench.pages import Grid, show
from medprism.evaluation.bench.savings import BY, first_dice, paired
from medprism.evaluation.bench.systems import RECREATION, SYSTEMS
from medprism.evaluation.bench.tables import REFERENCE
from medprism.evaluation.initialisation import INITIALISED, TARGET, seeded_saved_share
from medprism.evaluation.intervals import Score, seeded_interval
from medprism.evaluation.measures import MEASURES, rows_for
from medprism.evaluation.results import Cell, ResultRow, by_role
from medprism.metrics.bootstrap import Interval

FLOOR: Final = 0.5
# What "as good as" means: no more than this below, in Dice.
MARGIN: Final = 0.02
# The share of clicks that a first mask must save, in the paper "over 30 %".
SAVED: Final = 0.30

Verdict = Literal["shown", "fails", "undecided", "below the floor", "not measured"]


@dataclass(frozen=True)
class Figure:
    """A measure of a system in a role; seeds are found by the system's name."""

    system: str
    measure: str
    role: str


@dataclass(frozen=True)
class Difference:
    """`first` minus `second`, claimed to lie above `limit`."""

    first: Figure
    second: Figure
    limit: float = 0.0


@dataclass(frozen=True)
class Saving:
    """The share of clicks that a first mask of a protocol saves, claimed to lie above `limit`."""

    system: str
    protocol: str
    role: str
    limit: float = SAVED


Part: TypeAlias = Difference | Saving


@dataclass(frozen=True)
class Claim:
    """What is claimed, and the differences or savings that it is about."""

    sentence: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Finding:
    """One part of a claim with what was measured."""

    claim: str
    part: Part
    seeds: int
    interval: Interval | None
    verdict: Verdict


def _against(
    other: str, measures: Sequence[str], *, role: str = "train", limit: float = 0.0
) -> tuple[Difference, ...]:
    """Return K-Prism minus another system, measure by measure."""
    return tuple(
        Difference(Figure(REFERENCE, one, role), Figure(other, one, role), limit)
        for one in measures
    )


def _own(first: str, second: str, role: str = "train", system: str = REFERENCE) -> Difference:
    """Return one measure of a system minus another one of it."""
    return Difference(Figure(system, first, role), Figure(system, second, role))


_RIVALS: Final = tuple(name for name, one in SYSTEMS.items() if one.group == RECREATION)
_LEADS: Final = ("semantic", "one-shot", "clicks@1", "clicks@5")

CLAIMS: Final = (
    Claim(
        "Joint training is as good as training by one kind of knowledge.",
        (
            *_against("kprism-by-class", ("semantic",), limit=-MARGIN),
            *_against("kprism-by-reference", ("one-shot",), limit=-MARGIN),
            *_against("kprism-by-marks", ("clicks@5",), limit=-MARGIN),
        ),
    ),
    Claim(
        "Several experts are better than one.",
        _against("kprism-no-experts", ("semantic", "one-shot", "clicks@5"), role="external"),
    ),
    Claim(
        "Without 2-D fusion references and clicks are of less use.",
        _against("kprism-no-maps", ("one-shot", "clicks@5"), role="external"),
    ),
    Claim(
        "Leaving out 1-D queries costs less than leaving out 2-D fusion.",
        tuple(
            Difference(
                Figure("kprism-no-queries", one, "external"),
                Figure("kprism-no-maps", one, "external"),
            )
            for one in ("one-shot", "clicks@5")
        ),
    ),
    Claim(
        f"A first mask by class or by reference saves over {100 * SAVED:.0f} % of the clicks.",
        tuple(
            Saving(REFERENCE, protocol, role)
            for role in ("train", "external")
            for protocol in INITIALISED
        ),
    ),
    Claim(
        "More references help.",
        (_own("3-shot", "1-shot"), _own("9-shot", "1-shot"), _own("9-shot", "1-shot", "external")),
    ),
    Claim(
        "K-Prism leads every other system.",
        tuple(
            part
            for role in ("train", "external")
            for rival in _RIVALS
            for part in _against(rival, _LEADS, role=role)
        ),
    ),
    Claim("By class is better than by one reference.", (_own("semantic", "one-shot"),)),
    Claim(
        "Where a structure was never seen, clicks do more than a reference.",
        (_own("clicks@5", "one-shot", "unseen"),),
    ),
)


def judge(cells: Sequence[Cell], claims: Sequence[Claim] = CLAIMS) -> tuple[Finding, ...]:
    """Return a finding for each part of each claim; parts nobody could answer are left out.

    A difference is left out where the second system cannot be asked for its measure at all; where
    it was only not measured yet, the finding says so.
    """
    book = _Book(cells)
    return tuple(
        _judge(claim.sentence, part, book)
        for claim in claims
        for part in claim.parts
        if isinstance(part, Saving) or book.can_be_asked(part.second)
    )


def claims_grid(findings: Sequence[Finding]) -> Grid:
    """Return the findings as a table."""
    return Grid(
        title="The paper's claims",
        notes=(
            "A difference of Dice on the same pairs, or the share of clicks to Dice "
            f"{TARGET:.2f} that a first mask saves; mean over sets, with the 95 % interval over "
            "seeds and patients. Shown: the interval lies above the limit and K-Prism's own "
            f"figure (of savings, Dice of the first mask) reaches {FLOOR}. Fails: it lies below. "
            "Between systems one seed shows no direction.",
        ),
        header=("claim", "role", "difference or share", "limit", "seeds", "interval", "verdict"),
        rows=tuple(
            (
                one.claim,
                *_said(one.part),
                f"{one.part.limit:+.2f}",
                str(one.seeds),
                show(one.interval, signed=True),
                one.verdict,
            )
            for one in findings
        ),
    )


class _Book:
    """Rows by system, seed and role."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells: dict[tuple[str, str], dict[str, list[Cell]]] = {}
        for cell in (part for one in cells for part in by_role(one)):
            system, _, seed = cell.method.partition("@")
            by_seed = self._cells.setdefault((system, cell.facts.role), {})
            by_seed.setdefault(seed or "1", []).append(cell)
        # K-Prism's rows are asked for once for every rival.
        self.rows = cache(self._rows)

    def cells(self, system: str, role: str) -> Mapping[str, Sequence[Cell]]:
        """Return the cells of a system in a role by seed."""
        return self._cells.get((system, role), {})

    def _rows(self, figure: Figure) -> Mapping[str, Mapping[tuple[str, str, str], ResultRow]]:
        """Return the rows of a figure by seed and key; seeds without any are left out."""
        found = {}
        for seed, cells in self.cells(figure.system, figure.role).items():
            rows = [row for cell in cells for row in rows_for(figure.measure, cell.rows, cell.plan)]
            if rows:
                found[seed] = {row.key: row for row in rows}
        return found

    def can_be_asked(self, figure: Figure) -> bool:
        """Say whether a system has the figure, or has not been examined in that role at all."""
        is_examined = (figure.system, figure.role) in self._cells
        return not is_examined or bool(self.rows(figure))


@dataclass(frozen=True)
class _Measured:
    """What a part came to: `own` is the main model's Dice that is held against the floor."""

    interval: Interval
    seeds: int
    own: float
    is_one_system: bool


def _judge(sentence: str, part: Part, book: _Book) -> Finding:
    found = _saving(part, book) if isinstance(part, Saving) else _difference(part, book)
    if found is None:
        return Finding(sentence, part, 0, None, "not measured")
    return Finding(sentence, part, found.seeds, found.interval, _verdict(found, part.limit))


def _difference(part: Difference, book: _Book) -> _Measured | None:
    first, second = book.rows(part.first), book.rows(part.second)
    seeds = sorted(set(first) & set(second))
    of, other = MEASURES[part.first.measure].of, MEASURES[part.second.measure].of
    runs, own = [], []
    for seed in seeds:
        shared = [key for key in first[seed] if key in second[seed]]
        pairs = [(first[seed][key], second[seed][key]) for key in shared]
        if pairs:
            runs.append([_score(row, of(row) - other(mate)) for row, mate in pairs])
            own.append([_score(row, of(row)) for row, _ in pairs])
    if not runs:
        return None
    return _Measured(
        interval=seeded_interval(runs, over_sets=True),
        seeds=len(runs),
        own=seeded_interval(own, over_sets=True).mean,
        is_one_system=part.first.system == part.second.system,
    )


def _saving(part: Saving, book: _Book) -> _Measured | None:
    runs, own = [], []
    for cells in book.cells(part.system, part.role).values():
        pairs = paired(cells, part.protocol)
        if pairs is not None:
            runs.append(pairs)
            own.append(first_dice(cells, part.protocol))
    if not runs:
        return None
    return _Measured(seeded_saved_share(runs), len(runs), fmean(own), is_one_system=True)


def _verdict(found: _Measured, limit: float) -> Verdict:
    if found.interval.low is None or found.interval.high is None:
        return "undecided"
    if found.seeds < 2 and not found.is_one_system:
        # What another seed would give is not in the interval.
        return "undecided"
    if found.interval.high < limit:
        return "fails"
    if found.interval.low <= limit:
        return "undecided"
    return "shown" if found.own >= FLOOR else "below the floor"


def _score(row: ResultRow, value: float) -> Score:
    return Score(row.dataset, row.concept, row.unit, value)


def _said(part: Part) -> tuple[str, str]:
    """Return the role of a part, and what it is about."""
    if isinstance(part, Saving):
        return part.role, f"clicks saved by {BY[part.protocol]} of {part.system}"
    return part.first.role, f"{_name(part.first)} - {_name(part.second)}"


def _name(figure: Figure) -> str:
    return f"{figure.measure} of {figure.system}"
