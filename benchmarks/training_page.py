"""The picture of the shipped checkpoint's training, drawn from the logs that its runs wrote.

    python -m benchmarks.training_page

docs/results/training/ holds the log.jsonl of every run that is left, named in the order in which
one went on from the other. Time in which a run stood still (killed or stopped) is not counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from medprism.core.durable import write_durably
from medprism.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

RESULTS: Final = Path(__file__).resolve().parents[1] / "docs" / "results"
PAUSE_S: Final = 180.0
"""Two lines of a log further apart than this: the run stood still between them."""
MEASURES: Final = ("semantic", "one-shot", "clicks@1", "clicks@3", "clicks@5")
MODES: Final = ("semantic", "in-context", "interactive")


@dataclass(frozen=True)
class RunLog:
    """The lines of one run's log, and the minutes of work at each of them."""

    name: str
    lines: tuple[dict[str, Any], ...]
    minutes: tuple[float, ...]

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Return minutes and values of the lines that hold a key."""
        found = [
            (minute, line[key])
            for minute, line in zip(self.minutes, self.lines, strict=True)
            if key in line
        ]
        return [minute for minute, _ in found], [value for _, value in found]


def read_log(path: Path, begin: float = 0.0) -> RunLog:
    """Read the log of a run that began after `begin` minutes of work.

    A step that was done twice, after a kill, counts once, with its last line.

    Raises:
        ConfigError: the file has no line.
    """
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    if not written:
        raise ConfigError(f"{path} has no line; a run's log.jsonl has one every few steps")
    last = {line["step"]: line for line in written}
    lines = tuple(last[step] for step in sorted(last))
    minutes, now = [], begin
    for before, line in zip((lines[0], *lines), lines, strict=False):
        passed = line["time"] - before["time"]
        # A clock that was set back in between says nothing about work.
        now += passed / 60 if 0 <= passed < PAUSE_S else 0.0
        minutes.append(now)
    return RunLog(path.stem, lines, tuple(minutes))


def read_lineage(paths: Sequence[Path]) -> tuple[RunLog, ...]:
    """Read the logs of runs of which each went on where the one before ended."""
    logs: list[RunLog] = []
    for path in paths:
        logs.append(read_log(path, logs[-1].minutes[-1] if logs else 0.0))
    return tuple(logs)


def smoothed(values: Sequence[float], width: int = 7) -> list[float]:
    """Return the mean of each value with its neighbours, fewer of them at the ends.

    >>> smoothed([0.0, 3.0, 0.0], 3)
    [1.5, 1.0, 1.5]
    """
    half = width // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def draw(logs: Sequence[RunLog], path: Path) -> None:
    """Write a PNG: loss of every kind of request above, Dice on `val` below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for log in logs:
        _draw_series(above, [(mode, log.series(f"loss/{mode}")) for mode in MODES], smooths=True)
        _draw_series(below, [(one, log.series(f"val/{one}")) for one in MEASURES], smooths=False)
        for axes in (above, below):
            axes.axvline(log.minutes[0], color="0.8", linewidth=0.8)
        below.annotate(log.name, (log.minutes[0], 0.02), xycoords=("data", "axes fraction"))
    above.set_ylabel("training loss")
    below.set_ylabel("Dice on val")
    below.set_xlabel("minutes of work in these runs")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        axes.legend(once.values(), once.keys(), loc="upper left", ncols=len(once), fontsize="small")
        axes.margins(y=0.2)
    write_durably(path, lambda name: figure.savefig(name, dpi=120))


def _draw_series(
    axes: Axes, named: Sequence[tuple[str, tuple[list[float], list[float]]]], *, smooths: bool
) -> None:
    for number, (name, (minutes, values)) in enumerate(named):
        shown = smoothed(values) if smooths else values
        axes.plot(
            minutes, shown, color=f"C{number}", label=name, marker=None if smooths else "o", ms=3
        )


def main(
    results: Annotated[Path, typer.Option(help="Folder with training/.")] = RESULTS,
) -> None:
    """Draw docs/results/training.png from docs/results/training/*.jsonl."""
    logs = read_lineage(sorted((results / "training").glob("*.jsonl")))
    draw(logs, results / "training.png")
    for log in logs:
        _, scores = log.series("val/score")
        worked = log.minutes[-1] - log.minutes[0]
        print(f"{log.name}: {log.lines[-1]['step']:,} steps, {worked:.0f} minutes, val {scores}")


if __name__ == "__main__":
    typer.run(main)
