"""Which official packages were examined, with what weights, and what is missing for what reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from medprism.evaluation.bench.official.failures import Failure
from medprism.evaluation.bench.official.packages import PACKAGES, is_official
from medprism.evaluation.bench.pages import Grid
from medprism.evaluation.results import Cell

TITLE: Final = "Official packages"
# Settings of a package that stand in its cells; the rest of a plan is common to all systems.
_SETTINGS: Final = ("device", "config", "folds", "checkpoint")


@dataclass(eq=False)
class _Entry:
    """One package with one set of weights."""

    method: str
    plan: Mapping[str, Any]
    sets: list[str] = field(default_factory=list)


def overview_grids(cells: Sequence[Cell], failures: Sequence[Failure]) -> tuple[Grid, ...]:
    """Return a table of the official packages in a bench; none where there are none."""
    entries: dict[tuple[str, str, str], _Entry] = {}
    for cell in cells:
        if is_official(cell.method):
            plan = cell.plan
            key = (cell.method, str(plan["version"]), str(plan["weights"]))
            entries.setdefault(key, _Entry(cell.method, plan)).sets.append(cell.facts.dataset)
    rows = [_row(entry) for entry in entries.values()] + _failed(failures)
    if not rows:
        return ()
    note = (
        "Weights of the user's own, run by their authors' package in an interpreter of its own, on "
        "the same slices and with the same simulated clicks. They were trained elsewhere, on other "
        "data and for other budgets, perhaps on these very sets; so they stand in tables of their "
        "own."
    )
    header = ("system", "package", "weights", "licences", "run with", "sets", "missing because")
    return (Grid(TITLE, (note,), header, tuple(sorted(rows))),)


def _row(entry: _Entry) -> tuple[str, ...]:
    plan = entry.plan
    licence = PACKAGES[plan["package"]].licence
    own = plan.get("weights_licence")
    settings = ", ".join(f"{name} {_said(plan[name])}" for name in _SETTINGS if plan.get(name))
    return (
        entry.method,
        f"{plan['package']} {plan['version']}",
        str(plan["weights"])[:12],
        f"{licence}; these weights say {own}" if own else licence,
        settings,
        ", ".join(sorted(entry.sets)),
        "-",
    )


def _failed(failures: Sequence[Failure]) -> list[tuple[str, ...]]:
    """Return a row for each method and reason."""
    sets: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        sets.setdefault((failure.method, failure.reason), []).append(failure.dataset)
    return [
        (method, "-", "-", "-", "-", ", ".join(sorted(names)), reason)
        for (method, reason), names in sets.items()
    ]


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
