"""Methods side by side, on exactly the (slice, class) pairs that all of them answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medprism.evaluation.facts import DatasetFacts
from medprism.evaluation.measures import rows_for
from medprism.evaluation.results import Cell, ResultRow
from medprism.evaluation.summary import Average, average


@dataclass(frozen=True)
class Comparison:
    """One measure on one set for several methods; `num_pairs` are common to all."""

    facts: DatasetFacts
    measure: str
    num_pairs: int
    figures: dict[str, Average]


def compare(measure: str, cells: Sequence[Cell]) -> tuple[Comparison, ...]:
    """Return a comparison for each set and role that at least two methods have the measure for."""
    by_set: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_set.setdefault((cell.facts.dataset, cell.facts.role), []).append(cell)
    found = []
    for members in by_set.values():
        common = common_rows(measure, members)
        if len(common) < 2:
            continue
        figures = {
            method: figure
            for method, rows in common.items()
            if (figure := average(measure, rows)) is not None
        }
        if figures:
            num_pairs = len(next(iter(common.values())))
            found.append(Comparison(members[0].facts, measure, num_pairs, figures))
    return tuple(found)


def common_rows(measure: str, cells: Sequence[Cell]) -> dict[str, list[ResultRow]]:
    """Return each method's rows on the pairs that all methods with this measure answered."""
    by_method: dict[str, list[ResultRow]] = {}
    for cell in cells:
        rows = rows_for(measure, cell.rows, cell.plan)
        if rows:
            by_method.setdefault(cell.method, []).extend(rows)
    if not by_method:
        return {}
    shared = set.intersection(*({row.key for row in rows} for rows in by_method.values()))
    return {
        method: [row for row in rows if row.key in shared] for method, rows in by_method.items()
    }
