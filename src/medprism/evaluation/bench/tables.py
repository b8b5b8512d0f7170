"""The papers' tables from cells: a row a system, a column a set, and the mean over the columns.

What is not there yet is an empty cell; a table can be built at any moment of a bench. Systems of
the same budget and official packages never stand in one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medprism.data.case import ROLES
from medprism.evaluation.bench.official.failures import Failure
from medprism.evaluation.bench.official.packages import OFFICIAL, bare_name, is_official
from medprism.evaluation.bench.systems import OURS, SYSTEMS
from medprism.evaluation.comparison import common_rows
from medprism.evaluation.intervals import Score, macro_interval
from medprism.evaluation.measures import MEASURES, rows_for
from medprism.evaluation.results import Cell, ResultRow, by_role
from medprism.evaluation.summary import Average, average
from medprism.metrics.bootstrap import Interval

REFERENCE: Final = "kprism"
# The measures that get a table of their own, in the order of the paper's tables 2 to 4.
TABLED: Final = ("semantic", "one-shot", "clicks@1", "clicks@3", "clicks@5", "NoC@90")
UNTRAINED: Final = "no training at all"
PER_TASK: Final = "a model for each task"
SAME_BUDGET: Final = "same budget"
TIERS: Final = (SAME_BUDGET, OFFICIAL)


@dataclass(frozen=True)
class Line:
    """A system in a table: its figure on every set it was examined on, and over all of them.

    `mean` is over the sets that every system of the table has, `behind` is the system's mean minus
    that of K-Prism on the pairs that both answered. `lost` says why a set is missing, where that is
    known.
    """

    system: str
    title: str
    group: str
    by_set: Mapping[str, Average]
    mean: Interval | None
    behind: Interval | None
    lost: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """One measure in one role and tier; `common` are the sets that the means are over."""

    measure: str
    role: str
    tier: str
    sets: tuple[str, ...]
    common: tuple[str, ...]
    lines: tuple[Line, ...]


def title_of(system: str) -> tuple[str, str]:
    """Return title and group of a system by its name in a bench.

    >>> title_of("kprism@2"), title_of("SAM 2 (official)")
    (('K-Prism, seed 2', 'ours'), ('SAM 2', 'official package'))
    """
    if is_official(system):
        return bare_name(system), OFFICIAL
    name, _, seed = system.partition("@")
    if name in SYSTEMS:
        entry = SYSTEMS[name]
        return (f"{entry.title}, seed {seed}" if seed else entry.title), entry.group
    return (name, PER_TASK) if name == "UNet" else (name, UNTRAINED)


def make_tables(
    cells: Sequence[Cell],
    measures: Sequence[str] = TABLED,
    failures: Sequence[Failure] = (),
) -> tuple[Table, ...]:
    """Return a table for each tier, measure and role that at least one system has figures for.

    `failures` are cells of official packages that are missing for a reason.
    """
    parts = [part for cell in cells for part in by_role(cell)]
    return tuple(
        table
        for tier in TIERS
        for measure in measures
        for role in ROLES
        if (table := _table(tier, measure, role, parts, failures))
    )


def _table(
    tier: str, measure: str, role: str, parts: Sequence[Cell], failures: Sequence[Failure]
) -> Table | None:
    cells = [one for one in parts if one.facts.role == role and _tier_of(one.method) == tier]
    rows: dict[str, dict[str, list[ResultRow]]] = {}
    for cell in cells:
        found = rows_for(measure, cell.rows, cell.plan)
        if found:
            rows.setdefault(cell.method, {})[cell.facts.dataset] = found
    lost = _lost(measure, role, failures) if tier == OFFICIAL else {}
    if not rows and not lost:
        return None
    named = {name for by_set in rows.values() for name in by_set}
    sets = tuple(sorted(named | {name for by_set in lost.values() for name in by_set}))
    common = tuple(name for name in sets if all(name in by_set for by_set in rows.values()))
    lines = [
        _line(
            measure,
            system,
            rows.get(system, {}),
            common,
            _difference(measure, system, cells),
            lost.get(system, {}),
        )
        for system in dict.fromkeys((*rows, *lost))
    ]
    order = list(dict.fromkeys((OURS, *(title_of(line.system)[1] for line in lines))))
    lines.sort(key=lambda line: (order.index(line.group), line.system != REFERENCE, line.system))
    return Table(measure, role, tier, sets, common, tuple(lines))


def _tier_of(method: str) -> str:
    return OFFICIAL if is_official(method) else SAME_BUDGET


def _lost(measure: str, role: str, failures: Sequence[Failure]) -> dict[str, dict[str, str]]:
    """Return, by system and set, why a figure is missing."""
    asked, lost = MEASURES[measure], dict[str, dict[str, str]]()
    for failure in failures:
        is_asked = asked.protocol in failure.protocols and asked.clicks <= failure.clicks
        if is_asked and role in failure.roles:
            lost.setdefault(failure.method, {})[failure.dataset] = failure.kind
    return lost


def _line(
    measure: str,
    system: str,
    by_set: Mapping[str, Sequence[ResultRow]],
    common: Sequence[str],
    behind: Interval | None,
    lost: Mapping[str, str],
) -> Line:
    title, group = title_of(system)
    figures = {name: average(measure, rows) for name, rows in by_set.items()}
    of = MEASURES[measure].of
    pooled = [
        Score(row.dataset, row.concept, row.unit, of(row))
        for name in common
        for row in by_set.get(name, ())
    ]
    return Line(
        system=system,
        title=title,
        group=group,
        by_set={name: one for name, one in figures.items() if one is not None},
        mean=macro_interval(pooled, over_sets=True) if pooled else None,
        behind=behind,
        lost=lost,
    )


def _difference(measure: str, system: str, cells: Sequence[Cell]) -> Interval | None:
    """Return the system's mean minus K-Prism's on what both answered, over sets; None alone."""
    if system == REFERENCE:
        return None
    pairs = common_rows(measure, [one for one in cells if one.method in (system, REFERENCE)])
    if set(pairs) != {system, REFERENCE}:
        return None
    return paired_difference(measure, pairs[system], pairs[REFERENCE])


def paired_difference(
    measure: str, first: Sequence[ResultRow], second: Sequence[ResultRow]
) -> Interval | None:
    """Return the mean of `first` - `second`, pair by pair, over sets; patients are resampled.

    Both hold rows of the same pairs, in any order; None without any.
    """
    of, other = MEASURES[measure].of, {row.key: row for row in second}
    scores = [
        Score(row.dataset, row.concept, row.unit, of(row) - of(other[row.key])) for row in first
    ]
    return macro_interval(scores, over_sets=True) if scores else None
