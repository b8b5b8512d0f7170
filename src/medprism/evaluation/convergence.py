"""How Dice grows with clicks: the curves, and a picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.core.durable import write_durably
from medprism.data.case import ROLES
from medprism.evaluation.intervals import Score, macro_interval
from medprism.evaluation.protocols import INTERACTIVE, REFINE_IN_CONTEXT, REFINE_SEMANTIC
from medprism.evaluation.results import Cell, ResultRow
from medprism.evaluation.summary import HEADLINE, block_of
from medprism.metrics.interactive import dice_at

_KINDS: Final = {
    INTERACTIVE: "clicks only",
    REFINE_SEMANTIC: "by class, then clicks",
    REFINE_IN_CONTEXT: "by one reference, then clicks",
}
_LINES: Final = {INTERACTIVE: "-", REFINE_SEMANTIC: "--", REFINE_IN_CONTEXT: ":"}


@dataclass(frozen=True)
class Curve:
    """Macro Dice over clicks for one role, method and protocol; the first x is 0 or 1."""

    role: str
    method: str
    protocol: str
    clicks: tuple[int, ...]
    dice: tuple[float, ...]
    num_pairs: int


def curves_of(cells: Sequence[Cell]) -> tuple[Curve, ...]:
    """Return the curves over headline sets: mean over (set, class) pairs, as in the headline."""
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    limits: dict[tuple[str, str, str], int] = {}
    for cell in cells:
        if block_of(cell.facts) != HEADLINE:
            continue
        for row in cell.rows:
            if row.protocol in _KINDS:
                key = (row.role, row.method, row.protocol)
                groups.setdefault(key, []).append(row)
                limit = cell.plan["clicks" if row.protocol == INTERACTIVE else "refine_clicks"]
                limits[key] = min(limits.get(key, limit), limit)
    order = list(_KINDS)
    return tuple(
        _curve(*key, groups[key], limits[key])
        for key in sorted(groups, key=lambda k: (ROLES.index(k[0]), k[1], order.index(k[2])))
    )


def _curve(role: str, method: str, protocol: str, rows: Sequence[ResultRow], limit: int) -> Curve:
    first = 1 if protocol == INTERACTIVE else 0
    clicks = tuple(range(first, limit + 1))
    return Curve(role, method, protocol, clicks, mean_curve(rows, len(clicks)), len(rows))


def mean_curve(rows: Sequence[ResultRow], length: int) -> tuple[float, ...]:
    """Return the mean over (set, class) pairs of the first `length` values of clicked rows.

    So Dice@1, Dice@2... of interactive rows, and Dice before and after each click of refinements.
    A row that ended early keeps its last value. All rows are of one method and protocol.
    """
    return tuple(
        macro_interval(
            [Score(row.dataset, row.concept, row.unit, dice_at(row.values, place)) for row in rows],
            resamples=1,
        ).mean
        for place in range(1, length + 1)
    )


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw one panel per role as PNG.

    Raises:
        WriteError: the file cannot be written.
    """
    # Slow to import, and needed only here; the figure class needs no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    roles = list(dict.fromkeys(curve.role for curve in curves))
    methods = list(dict.fromkeys(curve.method for curve in curves))
    figure = Figure(figsize=(5 * max(1, len(roles)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, role in enumerate(roles, start=1):
        axes = figure.add_subplot(1, len(roles), place)
        for curve in curves:
            if curve.role == role:
                axes.plot(
                    curve.clicks,
                    curve.dice,
                    _LINES[curve.protocol],
                    color=f"C{methods.index(curve.method)}",
                    marker="o",
                    markersize=3,
                    label=f"{curve.method}: {_KINDS[curve.protocol]} (n = {curve.num_pairs})",
                )
        axes.set(title=f"role: {role}", xlabel="clicks", ylabel="Dice", ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
    write_durably(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))
