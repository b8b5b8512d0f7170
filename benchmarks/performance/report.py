"""Figures as tables, plots and the parts of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from benchmarks.performance.cost import Cost
from benchmarks.performance.pieces import Setting
from benchmarks.performance.plan import LITERAL, SESSION, Line
from medprism.evaluation.page import table

_HEADER: Final = (
    "what",
    "CPU s",
    "wall p50 s",
    "wall p95 s",
    "peak MB",
    "GFLOP",
    "share of matmul",
    "repeats",
)
GROWTH: Final = ("classes", "references", "clicks", "slices", "sizes")


@dataclass(frozen=True)
class Figured:
    """A line with its cost on a number of threads."""

    line: Line
    threads: int
    cost: Cost

    @property
    def key(self) -> tuple[Setting, str, str, int]:
        """What tells it from all other figures."""
        return self.line.setting, self.line.table, self.line.what, self.threads

    @property
    def where(self) -> str:
        """Model, size, engine and threads, which head a table."""
        setting = self.line.setting
        side = "several sizes" if self.line.table == "sizes" else f"{setting.side} pixels"
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{setting.preset}, {side}, {setting.engine}, {threads}"


def tables(figures: Sequence[Figured]) -> str:
    """Return one table for each model, size, engine and number of threads, then the experts."""
    plain = [one for one in figures if not one.line.table.startswith("experts")]
    parts = []
    for where in dict.fromkeys(one.where for one in plain):
        rows = [_row(one) for one in plain if one.where == where]
        parts.append(f"### {where}\n\n{table(_HEADER, rows)}")
    return "\n\n".join(parts)


def _row(one: Figured) -> list[str]:
    cost = one.cost
    return [
        one.line.what,
        f"{cost.cpu_seconds:.3f}",
        f"{cost.wall_p50:.3f}",
        f"{cost.wall_p95:.3f}",
        f"{cost.megabytes:.0f}",
        "-" if cost.gflop is None else f"{cost.gflop:.1f}",
        "-" if cost.share is None else f"{cost.share:.0%}",
        str(cost.repeats),
    ]


def ratios(figures: Sequence[Figured]) -> str:
    """Return what is left of the literal form's cost, and growth against the first amount."""
    rows = []
    by_where: dict[str, list[Figured]] = {}
    for one in figures:
        by_where.setdefault(one.where, []).append(one)
    literal = {
        (one.line.setting.preset, one.line.setting.side, one.threads): one.cost.cpu_seconds
        for one in figures
        if one.line.what == LITERAL
    }
    for where, group in by_where.items():
        for one in group:
            key = (one.line.setting.preset, one.line.setting.side, one.threads)
            if one.line.what == SESSION and key in literal:
                share = one.cost.cpu_seconds / literal[key]
                rows.append([where, "session of 5 clicks / literal form", f"{share:.3f}"])
        rows += _growth_rows(where, group)
    return table(("where", "ratio of CPU-seconds", "value"), rows)


def _growth_rows(where: str, group: Sequence[Figured]) -> list[list[str]]:
    rows = []
    for name in dict.fromkeys(one.line.table for one in group if one.line.amount is not None):
        series = [one for one in group if one.line.table == name]
        first, last = series[0], series[-1]
        if len(series) > 1:
            ratio = last.cost.cpu_seconds / first.cost.cpu_seconds
            rows.append([where, f"{last.line.what} / {first.line.what} ({name})", f"{ratio:.2f}"])
    return rows


def experts(figures: Sequence[Figured]) -> str:
    """Return CPU-seconds of one decode by number of experts and queries."""
    chosen = [one for one in figures if one.line.table.startswith("experts")]
    counts = sorted({one.line.amount for one in chosen if one.line.amount is not None})
    rows = []
    for threads, name in dict.fromkeys((one.threads, one.line.table) for one in chosen):
        found = {
            one.line.amount: one.cost.cpu_seconds
            for one in chosen
            if (one.threads, one.line.table) == (threads, name)
        }
        base = found[counts[0]]
        cells = [f"{found[count]:.3f} ({found[count] / base:.2f})" for count in counts]
        rows.append([name.removeprefix("experts, "), str(threads), *cells])
    return table(("CPU s (ratio)", "threads", *(f"{count} experts" for count in counts)), rows)


def draw_growth(figures: Sequence[Figured], path: Path) -> None:
    """Draw CPU-seconds against classes, references, clicks, slices and size."""
    names = [name for name in GROWTH if any(one.line.table == name for one in figures)]
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        series: dict[str, list[Figured]] = {}
        for one in figures:
            if one.line.table == name and one.line.amount is not None:
                series.setdefault(one.where, []).append(one)
        for where, points in series.items():
            amounts = [one.line.amount for one in points]
            panel.plot(amounts, [p.cost.cpu_seconds for p in points], marker="o", label=where)
        panel.set_xlabel(name)
        panel.set_ylabel("CPU seconds")
        panel.set_ylim(bottom=0)
    panels[0].legend(fontsize=5)
    figure.savefig(path, dpi=150)
