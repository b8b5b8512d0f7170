"""All that a report says, computed from the cells of a benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medprism.data.case import ROLES
from medprism.evaluation.comparison import Comparison, compare
from medprism.evaluation.convergence import Curve, curves_of
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.results import Cell, by_role
from medprism.evaluation.summary import (
    HEADLINE,
    Average,
    SetSummary,
    block_of,
    pooled,
    summarise,
)

COMPARED: Final = ("semantic", "clicks@1", "clicks@3", "clicks@5")


@dataclass(frozen=True)
class Headline:
    """The averages of one method on one role by one rule (a key of `RULES`)."""

    method: str
    role: str
    rule: str
    figures: dict[str, Average]


@dataclass(frozen=True)
class KindLine:
    """The averages of one method on all sets of one kind of image in one role."""

    method: str
    role: str
    kind: str
    figures: dict[str, Average]


@dataclass(frozen=True)
class Figures:
    """Everything that is reported, before it is written."""

    plans: dict[str, dict[str, object]]
    headlines: tuple[Headline, ...]
    sets: tuple[SetSummary, ...]
    kinds: tuple[KindLine, ...]
    comparisons: tuple[Comparison, ...]
    curves: tuple[Curve, ...]
    milliseconds: dict[str, dict[str, float]]


def make_figures(cells: Sequence[Cell]) -> Figures:
    """Compute all figures of a benchmark's cells, sets ordered by role and name.

    A set whose classes have different roles appears once for each role.
    """
    ordered = sorted(
        (part for cell in cells for part in by_role(cell)),
        key=lambda c: (ROLES.index(c.facts.role), c.facts.dataset, c.method),
    )
    methods = sorted({cell.method for cell in ordered})
    roles = [role for role in ROLES if any(c.facts.role == role for c in ordered)]
    headlines, kinds = [], []
    for role in roles:
        for method in methods:
            own = [c for c in ordered if c.facts.role == role and c.method == method]
            headlines += _headlines(method, role, own)
            kinds += _by_kind(method, role, own)
    return Figures(
        plans={cell.method: _shared_plan(ordered, cell.method) for cell in ordered},
        headlines=tuple(headlines),
        sets=tuple(summarise(cell) for cell in ordered),
        kinds=tuple(kinds),
        comparisons=tuple(one for name in COMPARED for one in compare(name, ordered)),
        curves=curves_of(ordered),
        milliseconds={method: _times(ordered, method) for method in methods},
    )


def _headlines(method: str, role: str, cells: Sequence[Cell]) -> list[Headline]:
    chosen = [cell for cell in cells if block_of(cell.facts) == HEADLINE]
    found = [
        Headline(method, role, "classes", _pooled_all(chosen)),
        Headline(method, role, "sets", _pooled_all(chosen, over_sets=True)),
        Headline(method, role, "all", _pooled_all(cells)),
    ]
    return [one for one in found if one.figures]


def _by_kind(method: str, role: str, cells: Sequence[Cell]) -> list[KindLine]:
    names = sorted({cell.facts.kind for cell in cells})
    return [
        KindLine(
            method,
            role,
            name,
            _pooled_all([c for c in cells if c.facts.kind == name]),
        )
        for name in names
    ]


def _pooled_all(cells: Sequence[Cell], *, over_sets: bool = False) -> dict[str, Average]:
    found = {name: pooled(name, cells, over_sets=over_sets) for name in MEASURES}
    return {name: figure for name, figure in found.items() if figure is not None}


def _shared_plan(cells: Sequence[Cell], method: str) -> dict[str, object]:
    """Return what all cells of a method have in common: how it was run."""
    plans = [cell.plan for cell in cells if cell.method == method]
    return {
        name: value
        for name, value in plans[0].items()
        if all(plan.get(name) == value for plan in plans) and name != "slices"
    }


def _times(cells: Sequence[Cell], method: str) -> dict[str, float]:
    """Return the median milliseconds per answer (a mask), by protocol."""
    by_protocol: dict[str, list[float]] = {}
    for cell in cells:
        if cell.method == method:
            for row in cell.rows:
                by_protocol.setdefault(row.protocol, []).append(row.milliseconds / len(row.values))
    return {name: statistics.median(values) for name, values in by_protocol.items()}
