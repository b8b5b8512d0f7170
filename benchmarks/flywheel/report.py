"""Figures as Markdown, JSON and a picture of the curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.flywheel.cell import Cell
from benchmarks.flywheel.figures import (
    AFTER,
    Comparison,
    Figure,
    Side,
    Tables,
    compare,
    tables_of,
)
from benchmarks.flywheel.plan import DRAWN, REACHED, UserSettings
from medprism.core.durable import write_bytes, write_durably

# A place of the curve is the mean over the places around it.
SMOOTHED: Final = 5
_KEPT: Final = {
    REACHED: "the mask as it is",
    DRAWN: "the truth, drawn by hand (not counted as clicks)",
}


def write_report(
    cells: Sequence[Cell], user: UserSettings, model: dict[str, str], out: Path
) -> tuple[Comparison, ...]:
    """Write flywheel.md, flywheel.json and flywheel.png; return what they show."""
    found = compare(cells, user)
    document = {
        "model": model,
        "user": asdict(user),
        "comparisons": [{**asdict(one), "meets_goal": one.meets_goal} for one in found],
    }
    write_bytes(out / "flywheel.json", (json.dumps(document, indent=1) + "\n").encode())
    write_bytes(out / "flywheel.md", to_markdown(found, user, model).encode())
    draw(cells, found, user, out / "flywheel.png")
    return found


def to_markdown(found: Sequence[Comparison], user: UserSettings, model: dict[str, str]) -> str:
    """Return the report."""
    lines = [
        "# The flywheel, measured through the server",
        "",
        f"`{model['name']}`, weights {model['weights'][:12]}. A simulated user clicks until Dice "
        f"{user.target:g} is reached or {user.limit} clicks are made; where it is not reached, "
        f"{user.limit} are counted. The exact one clicks at the centre of the largest error; the "
        "unsteady one anywhere well "
        f"inside it, with a hand that moves by {user.spread:g} pixels (standard deviation of row "
        "and of column). *Flywheel*: every accepted mask is a reference, and images come "
        "pre-segmented from them. *Clicks only*: no references.",
        "",
        "Intervals: 95 % bootstrap over orders and patients, the same draws for both methods. They "
        "leave out that images of one order depend on each other through their references. Seconds "
        "are the median wait for the server an image (opening, clicks, accepting), with nothing "
        "done ahead.",
        "",
    ]
    for accepts in dict.fromkeys(one.accepts for one in found):
        lines += _section([one for one in found if one.accepts == accepts], accepts, user)
    return "\n".join(lines).rstrip() + "\n"


def draw(
    cells: Sequence[Cell], found: Sequence[Comparison], user: UserSettings, path: Path
) -> None:
    """Draw clicks an image over the way, and Dice before the first click, as PNG.

    Raises:
        WriteError: the file cannot be written.
    """
    # Slow to import, and needed only here; the figure class needs no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    shown = [one for one in found if one.accepts == found[0].accepts]
    structures = list(dict.fromkeys(one.structure for one in shown))
    drawing = Drawing(figsize=(4.2 * len(structures), 5.6), layout="constrained")
    FigureCanvasAgg(drawing)
    for column, structure in enumerate(structures):
        above = drawing.add_subplot(2, len(structures), column + 1)
        below = drawing.add_subplot(2, len(structures), len(structures) + column + 1)
        for number, one in enumerate(one for one in shown if one.structure == structure):
            tables = tables_of(cells, structure, one.user, one.accepts, user)
            if tables is not None:
                _draw_lines(above, below, tables, one.user, f"C{number}")
        above.set(title=structure.concept, ylabel="clicks an image", ylim=(0, user.limit + 0.5))
        below.set(xlabel="image number", ylabel="Dice before the first click", ylim=(0, 1))
        below.axhline(user.target, color="grey", linewidth=0.8)
        for axes in (above, below):
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
    write_durably(path, lambda temporary: drawing.savefig(temporary, format="png", dpi=130))


def by_place(tables: Tables, values: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean over orders at each place of the way, smoothed over its neighbours.

    The first place, which has no reference yet, stands by itself.
    """
    array, places = np.asarray(values, np.float64), tables.place
    means = [float(array[places == place].mean()) for place in range(places.shape[1])]
    half = SMOOTHED // 2
    smooth = [
        float(np.mean(means[max(1, place - half) : place + half + 1]))
        for place in range(1, len(means))
    ]
    return [means[0], *smooth]


def _draw_lines(above: object, below: object, tables: Tables, user: str, colour: str) -> None:
    for method, line in (("clicks only", ":"), ("flywheel", "-")):
        clicks = tables.clicks_only if method == "clicks only" else tables.flywheel
        curve = by_place(tables, clicks.tolist())
        above.plot(range(1, len(curve) + 1), curve, line, color=colour, label=f"{user}: {method}")  # type: ignore[attr-defined]
    before = by_place(tables, [[one.before for one in row] for row in tables.turns["flywheel"]])
    below.plot(range(1, len(before) + 1), before, color=colour, label=f"{user}: flywheel")  # type: ignore[attr-defined]


def _section(found: Sequence[Comparison], accepts: str, user: UserSettings) -> list[str]:
    lines = [
        f"## Where {user.target:g} is not reached, the user accepts {_KEPT[accepts]}",
        "",
        "| structure | in training | images | orders | user | method | clicks, median "
        f"| clicks, mean | reach {user.target:g} | s an image |",
        "|---|---|--:|--:|---|---|--:|--:|--:|--:|",
    ]
    for one in found:
        for method, side in (("clicks only", one.clicks_only), ("flywheel", one.flywheel)):
            lines.append(_row(one, method, side))
    lines += [
        "",
        "| structure | user | fewer clicks, by median | by mean | at least 30 % by median |",
        "|---|---|--:|--:|---|",
    ]
    lines += [
        f"| {one.structure.concept} | {one.user} | {_percent(one.fewer_by_median)} "
        f"| {_percent(one.fewer_by_mean)} | {'yes' if one.meets_goal else 'no'} |"
        for one in found
    ]
    lines += ["", *_verdicts(found), "", *_way(found), *_dice(found)]
    return lines


def _row(one: Comparison, method: str, side: Side) -> str:
    known = "no" if one.structure.is_unseen else "yes, from other sources"
    return (
        f"| {one.structure.concept} ({one.structure.dataset}) | {known} | {one.images} "
        f"| {one.orders} | {one.user} | {method} | {_interval(side.median, 1)} "
        f"| {_interval(side.mean, 2)} | {side.reached:.0%} | {side.seconds:.1f} |"
    )


def _verdicts(found: Sequence[Comparison]) -> list[str]:
    lines = []
    for user in dict.fromkeys(one.user for one in found):
        mine = [one for one in found if one.user == user]
        reached = sum(one.meets_goal for one in mine)
        lines.append(
            f"- {user} user: at least 30 % fewer clicks by the median on {reached} of {len(mine)} "
            "structures."
        )
    return lines


def _way(found: Sequence[Comparison]) -> list[str]:
    lines = [
        "Clicks as the flywheel turns (means), beside clicks only on the same images:",
        "",
        "| structure | user | images | clicks only | flywheel | Dice before the first click |",
        "|---|---|---|--:|--:|--:|",
    ]
    for one in found:
        for part in one.stretches:
            span = (
                f"{part.first + 1}"
                if part.last == part.first + 1
                else (f"{part.first + 1} to {part.last}")
            )
            lines.append(
                f"| {one.structure.concept} | {one.user} | {span} | {part.clicks_only:.2f} "
                f"| {part.flywheel:.2f} | {part.dice_before:.3f} |"
            )
    return [*lines, ""]


def _dice(found: Sequence[Comparison]) -> list[str]:
    heads = " | ".join(f"@{count}" for count in AFTER)
    lines = [
        "Mean Dice before the first click and after so many; who has stopped keeps the last value:",
        "",
        f"| structure | user | method | {heads} |",
        "|---|---|---|" + "--:|" * len(AFTER),
    ]
    for one in found:
        for method, side in (("clicks only", one.clicks_only), ("flywheel", one.flywheel)):
            values = " | ".join(f"{value:.3f}" for value in side.dice)
            lines.append(f"| {one.structure.concept} | {one.user} | {method} | {values} |")
    return [*lines, ""]


def _interval(figure: Figure, digits: int) -> str:
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f}-{figure.high:.{digits}f})"


def _percent(figure: Figure) -> str:
    value, low, high = (round(100 * one) for one in (figure.value, figure.low, figure.high))
    return f"{value} % ({low} to {high})"
