"""Clicks that a first mask by class or by reference saves, from the cells of a bench.

Counted to Dice 0.90, at most `CAP` on either side, as the K-Prism paper does. Cells that were given
fewer clicks on either side are left out: counts with another cap are other figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from medprism.data.case import ROLES
from medprism.evaluation.bench.pages import Grid, show
from medprism.evaluation.bench.tables import REFERENCE, title_of
from medprism.evaluation.initialisation import (
    INITIALISED,
    TARGET,
    PairedClicks,
    pair_clicks,
    saved_share,
)
from medprism.evaluation.intervals import Score, macro_interval
from medprism.evaluation.measures import CAP
from medprism.evaluation.protocols import REFINE_IN_CONTEXT, REFINE_SEMANTIC
from medprism.evaluation.results import Cell, by_role
from medprism.metrics.bootstrap import Interval

BY: Final[Mapping[str, str]] = {REFINE_SEMANTIC: "class", REFINE_IN_CONTEXT: "reference"}


@dataclass(frozen=True)
class SavedClicks:
    """What a system's first masks save in a role.

    `first` is the Dice of the first masks, `after` and `nothing` are clicks to the target on them
    and without them; all three are means over sets, as `share` is (`saved_share`).
    """

    system: str
    protocol: str
    role: str
    num_pairs: int
    first: float
    after: float
    nothing: float
    share: Interval


def saved_clicks(cells: Sequence[Cell]) -> tuple[SavedClicks, ...]:
    """Return what is saved by each system, way and role that has enough clicks; K-Prism first."""
    parts: dict[tuple[str, str], list[Cell]] = {}
    for cell in (part for one in cells for part in by_role(one)):
        parts.setdefault((cell.method, cell.facts.role), []).append(cell)
    order = sorted(parts, key=lambda key: (key[0] != REFERENCE, key[0], ROLES.index(key[1])))
    found = (
        _saved(system, protocol, role, parts[system, role])
        for system, role in order
        for protocol in INITIALISED
    )
    return tuple(one for one in found if one is not None)


def paired(cells: Sequence[Cell], protocol: str) -> PairedClicks | None:
    """Return the pairs of one system's cells; None where no cell with enough clicks has any."""
    rows = [row for cell in cells if has_enough(cell.plan) for row in cell.rows]
    pairs = pair_clicks(rows, protocol, cap=CAP)
    return pairs if pairs.after else None


def first_dice(cells: Sequence[Cell], protocol: str) -> float:
    """Return the Dice of the first masks that `paired` counts from, a mean over sets.

    Raises:
        InternalError: there is none.
    """
    scores = [
        Score(row.dataset, row.concept, row.unit, row.values[0])
        for cell in cells
        if has_enough(cell.plan)
        for row in cell.rows
        if row.protocol == protocol
    ]
    return macro_interval(scores, over_sets=True, resamples=1).mean


def has_enough(plan: Mapping[str, object]) -> bool:
    """Say whether a cell's plan allowed `CAP` clicks from nothing and on a first mask.

    >>> has_enough({"clicks": 10, "refine_clicks": 10}), has_enough({"clicks": 10})
    (True, False)
    """
    given = (plan.get("clicks"), plan.get("refine_clicks"))
    return all(isinstance(one, int) and one >= CAP for one in given)


def saved_grid(savings: Sequence[SavedClicks]) -> Grid:
    """Return the savings as a table."""
    return Grid(
        title="Clicks that a first mask saves",
        notes=(
            f"Clicks to Dice {TARGET:.2f} on the same slices and classes, at most {CAP} (a case "
            "that does not get there counts as many; a first mask that is good enough counts 0): "
            "on a first mask by class or by one reference, and from nothing. Saved: 1 - (sum on "
            "first masks) / (sum from nothing) of a set, mean over sets, with the 95 % interval "
            f"over patients. Systems that were given fewer than {CAP} clicks on either side are "
            "not here.",
        ),
        header=(
            *("system", "what it is", "first mask", "role", "pairs", "Dice of the first mask"),
            *("clicks on it", "clicks from nothing", "saved"),
        ),
        rows=tuple(
            (
                one.system,
                title_of(one.system)[0],
                f"by {BY[one.protocol]}",
                one.role,
                str(one.num_pairs),
                f"{one.first:.3f}",
                f"{one.after:.2f}",
                f"{one.nothing:.2f}",
                show(one.share, signed=True),
            )
            for one in savings
        ),
    )


def _saved(system: str, protocol: str, role: str, cells: Sequence[Cell]) -> SavedClicks | None:
    pairs = paired(cells, protocol)
    if pairs is None:
        return None
    return SavedClicks(
        system=system,
        protocol=protocol,
        role=role,
        num_pairs=len(pairs.after),
        first=first_dice(cells, protocol),
        after=_over_sets(pairs.after, pairs.datasets),
        nothing=_over_sets(pairs.nothing, pairs.datasets),
        share=saved_share(pairs),
    )


def _over_sets(clicks: Sequence[float], datasets: Sequence[str]) -> float:
    by_set: dict[str, list[float]] = {}
    for count, dataset in zip(clicks, datasets, strict=True):
        by_set.setdefault(dataset, []).append(count)
    return fmean(fmean(counts) for counts in by_set.values())
