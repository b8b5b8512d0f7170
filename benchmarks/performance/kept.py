"""Figures on disk, so that a page can be written again without measuring again."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from benchmarks.performance.cost import Cost, Rates, Work
from benchmarks.performance.pieces import Bench, Setting
from benchmarks.performance.plan import Line
from benchmarks.performance.report import Figured
from medprism.core.durable import write_bytes

Read = TypeVar("Read")


@dataclass(frozen=True)
class Kept:
    """What was measured, and on what: rates of matrix products by number of threads, load."""

    figures: list[Figured]
    rates: dict[int, Rates]
    load: float
    versions: dict[str, str]

    def conditions(self) -> str:
        """Return one paragraph on the machine and how busy it was."""
        speeds = "; ".join(
            f"{threads} thread{'s' if threads > 1 else ''}: "
            + ", ".join(f"{name} {value:.0f}" for name, value in one.gflops.items())
            for threads, one in self.rates.items()
        )
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{platform.machine()}, {os.cpu_count()} cores, {versions}; load average "
            f"{self.load:.2f} at the start. Matrix products of 2048 in GFLOP a CPU-second, "
            f"{speeds}."
        )

    def take_over(self, other: Kept) -> None:
        """Add the figures of a run that stopped, and its rates where this one has none."""
        self.figures.extend(other.figures)
        for threads, rates in other.rates.items():
            self.rates.setdefault(threads, rates)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        document = {
            "load": self.load,
            "gflops": {str(count): one.gflops for count, one in self.rates.items()},
            "versions": self.versions,
            "figures": [
                {
                    **asdict(one.line.setting),
                    "threads": one.threads,
                    "table": one.line.table,
                    "what": one.line.what,
                    "amount": one.line.amount,
                    **asdict(one.cost),
                }
                for one in self.figures
            ],
        }
        write_bytes(path, json.dumps(document, indent=1).encode())


def read_kept(path: Path) -> Kept:
    """Read what `Kept.write` wrote; the work itself cannot be done again."""
    document = json.loads(path.read_text(encoding="utf-8"))
    rates = {int(count): Rates(gflops) for count, gflops in document["gflops"].items()}
    figures = [
        Figured(
            Line(_part(Setting, row), row["table"], row["what"], _done, row["amount"]),
            row["threads"],
            _part(Cost, row),
        )
        for row in document["figures"]
    ]
    return Kept(figures, rates, document["load"], document["versions"])


def _part(kind: Callable[..., Read], row: dict[str, object]) -> Read:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: row[name] for name in names})


def _done(bench: Bench) -> Work:
    raise RuntimeError("this figure was read from a file; measure it anew to do the work")
