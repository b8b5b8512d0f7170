"""Pictures of figures: curves and scatters, never of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from medprism.core.durable import write_durably

LEAST_RANGE: Final = 0.05
"""Of the axis of Dice."""


def draw_curve(points: Mapping[str, Sequence[tuple[float, float]]], name: str, path: Path) -> None:
    """Write a PNG: Dice of every strategy against the share of the pool, in per cent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, (strategy, line) in enumerate(points.items()):
        shares, values = [100 * share for share, _ in line], [value for _, value in line]
        axes.plot(shares, values, "o-", ms=4, color=f"C{number}", label=strategy)
    axes.set_xscale("log")
    ticks = sorted({100 * share for line in points.values() for share, _ in line})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"references used, % of the pool of {name}")
    axes.set_ylabel("Dice, mean over classes")
    low, high = axes.get_ylim()
    # Differences that do not matter must not look as if they did.
    margin = max(0.0, (LEAST_RANGE - (high - low)) / 2)
    axes.set_ylim(low - margin, high + margin)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    write_durably(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))


def draw_scatter(points: Sequence[tuple[str, str, float, float]], path: Path) -> None:
    """Write a PNG of (set, class, x, y): colour by class, shape of the mark by set."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    palette = colormaps["tab20"]
    classes = list(dict.fromkeys(concept for _, concept, _, _ in points))
    for shape, dataset in zip("os^Dv", dict.fromkeys(point[0] for point in points), strict=False):
        for number, concept in enumerate(classes):
            at = [(x, y) for where, what, x, y in points if (where, what) == (dataset, concept)]
            if at:
                axes.plot(
                    [x for x, _ in at],
                    [y for _, y in at],
                    shape,
                    ms=5,
                    # Twenty colours; a mark without filling says that they come again.
                    color=palette(number % palette.N),
                    fillstyle="full" if number < palette.N else "none",
                    label=f"{concept} ({dataset.split('_')[0]})",
                )
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="x-small")
    write_durably(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
