"""A bench as a page: Markdown for a repository, one HTML file with its plots inside for people."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from medprism.evaluation.bench.official.packages import OFFICIAL
from medprism.evaluation.bench.tables import Line, Table
from medprism.evaluation.convergence import Curve
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.page import table as markdown_table
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.summary import RULES
from medprism.metrics.bootstrap import Interval

MISSING: Final = "missing"


@dataclass(frozen=True)
class Grid:
    """A table as text, ready for either form."""

    title: str
    notes: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def grid_of(table: Table) -> Grid:
    """Return a table as text: figures to three digits, a missing cell says so, and why if known."""
    common = ", ".join(table.common) or "none"
    meaning = f"{MEASURES[table.measure].meaning}. A cell: {RULES['set']}"
    mean = (
        f"Mean: over the sets that all systems here have ({common}), each its mean over classes; "
        f"with a {RULES['interval']}"
    )
    if table.tier == OFFICIAL:
        return Grid(
            title=f"{table.measure} ({table.role}), official packages",
            notes=(f"{meaning}. {mean}. Trained elsewhere: not to be set against other tables.",),
            header=("system", "what it is", "mean", *table.sets),
            rows=tuple(_cells(line, table.sets) for line in table.lines),
        )
    behind = "Against K-Prism: the mean over sets of the difference on the pairs that both answered"
    return Grid(
        title=f"{table.measure} ({table.role})",
        notes=(f"{meaning}. {mean}. {behind}.",),
        header=("system", "what it is", "mean", "against K-Prism", *table.sets),
        rows=tuple(_cells(line, table.sets, _behind(line)) for line in table.lines),
    )


def run_grid(runs: Sequence[Mapping[str, Any]]) -> Grid:
    """Return what every trained system was given."""
    rows = tuple(
        (
            str(one["system"]),
            str(one["title"]),
            str(one["seed"]),
            f"{one['steps']:,}",
            "-" if one["cpu_seconds_asked"] is None else f"{one['cpu_seconds_asked']:,.0f}",
        )
        for one in runs
    )
    return Grid(
        title="What was trained",
        notes=(
            "Every system learned for the same CPU seconds, timing its first steps included, from "
            "the same sets by the same loop; all weights started at random.",
        ),
        header=("system", "what it is", "seed", "steps", "CPU seconds"),
        rows=rows,
    )


def render_markdown(
    facts: Mapping[str, Any], grids: Sequence[Grid], pictures: Sequence[str]
) -> str:
    """Return the page as Markdown; `pictures` are files beside it."""
    parts = ["# Bench", *_facts(facts)]
    parts += [f"![{name}]({name})" for name in pictures]
    for grid in grids:
        parts += [f"## {grid.title}", *grid.notes, markdown_table(grid.header, grid.rows)]
    return "\n\n".join(parts) + "\n"


def render_html(facts: Mapping[str, Any], grids: Sequence[Grid], pictures: Sequence[str]) -> str:
    """Return the page as one HTML file; `pictures` are SVG and stand inside it."""
    body = ["<h1>Bench</h1>", *(f"<p>{escape(line)}</p>" for line in _facts(facts))]
    body += [f'<figure class="wide">{picture}</figure>' for picture in pictures]
    for grid in grids:
        body.append(f"<h2>{escape(grid.title)}</h2>")
        body += [f"<p>{escape(note)}</p>" for note in grid.notes]
        body.append(html_table(grid))
    return html_page("Bench", body)


def html_page(title: str, body: Sequence[str]) -> str:
    """Return a whole page in the style of the bench; `body` is HTML."""
    return _FRAME.replace("TITLE", escape(title)).replace("BODY", "\n".join(body))


def draw_clicks(curves: Sequence[Curve]) -> str:
    """Return Dice over clicks as SVG, a panel a role."""
    # Slow to import, and needed only here; the figure class needs no display.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    roles = list(dict.fromkeys(curve.role for curve in curves))
    methods = list(dict.fromkeys(curve.method for curve in curves))
    figure = Figure(figsize=(5 * max(1, len(roles)), 4), layout="constrained")
    for place, role in enumerate(roles, start=1):
        axes = figure.add_subplot(1, len(roles), place)
        for curve in curves:
            if curve.role == role and curve.protocol == "interactive":
                color = f"C{methods.index(curve.method) % 10}"
                axes.plot(curve.clicks, curve.dice, color=color, marker="o", label=curve.method)
        axes.set(title=role, xlabel="clicks", ylabel="Dice", ylim=(0, 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
    FigureCanvasSVG(figure)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()[file.getvalue().index("<svg") :]


def show(interval: Interval | None, *, signed: bool = False) -> str:
    """Return a mean with its bounds.

    >>> show(Interval(0.25, 0.1, 0.4), signed=True), show(Interval(0.5, None, None)), show(None)
    ('+0.250 (+0.100 to +0.400)', '0.500', 'missing')
    """
    if interval is None:
        return MISSING
    form = "+.3f" if signed else ".3f"
    if interval.low is None or interval.high is None:
        return format(interval.mean, form)
    return f"{interval.mean:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _cells(line: Line, sets: Sequence[str], *behind: str) -> tuple[str, ...]:
    own = [
        f"{line.by_set[name].value:.3f}" if name in line.by_set else line.lost.get(name, MISSING)
        for name in sets
    ]
    return (line.system, f"{line.title} ({line.group})", show(line.mean), *behind, *own)


def _behind(line: Line) -> str:
    is_first = line.behind is None and line.system == "kprism"
    return "-" if is_first else show(line.behind, signed=True)


def _facts(facts: Mapping[str, Any]) -> list[str]:
    return [
        *(f"{name}: {value}" for name, value in facts.items()),
        f"One-shot: {FixedReferences.rule}. Clicks are those of a simulated user.",
    ]


def html_table(grid: Grid) -> str:
    """Return a table as HTML that scrolls sideways where it is wider than the page."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in grid.header)
    rows = [
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in grid.rows
    ]
    body = "\n".join(rows)
    whole = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{whole}</table></div>'


_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; }
p { max-width: 45rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
.wide svg { max-width: 100%; height: auto; background: white; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.875rem; }
th, td { padding: 0.25rem 0.75rem; text-align: right; white-space: nowrap; }
th[scope=row], th:nth-child(-n+2), td:nth-child(2) { text-align: left; }
thead th { border-bottom: 2px solid; }
tbody tr:nth-child(even) { background: color-mix(in srgb, currentColor 6%, transparent); }
tbody th { position: sticky; left: 0; background: Canvas; white-space: normal;
  min-width: 8rem; max-width: 16rem; }
</style>
</head>
<body>
BODY
</body>
</html>
"""
