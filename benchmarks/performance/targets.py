"""What was aimed at, beside what was measured: base at 512 on one thread, compact on two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.performance.plan import LITERAL, SESSION
from benchmarks.performance.report import Figured
from medprism.evaluation.page import table

BASE, COMPACT = "kprism-base", "kprism-compact"
REFERENCE = "torch"
ENCODE = "encode"
ONE_CLASS = "encode + 1 class"
CLASSES_13 = "encode + 13 classes"
ONE_SHOT = "encode + 1-shot, examples cached"
ONE_CLICK = "one decode with 1 click so far"
VOLUME = "volume of 133 slices, 13 classes"


@dataclass(frozen=True)
class Target:
    """A limit on one number; `value` is None where it was not measured."""

    what: str
    unit: str
    limit: float
    value: float | None
    engine: str = REFERENCE
    is_floor: bool = False

    @property
    def verdict(self) -> str:
        """Say whether it holds, and by how much it does not."""
        if self.value is None:
            return "not measured"
        holds = self.value >= self.limit if self.is_floor else self.value <= self.limit
        return "holds" if holds else f"missed, {self.value / self.limit:.2f} of the target"

    def row(self) -> list[str]:
        """Return a row of the table."""
        sign = "at least" if self.is_floor else "at most"
        shown = "-" if self.value is None else f"{self.value:.3g} {self.unit}".strip()
        limit = f"{sign} {self.limit:g} {self.unit}".strip()
        return [self.what, limit, shown, self.engine, self.verdict]


class Figures:
    """Figures by model, side, engine, threads and name."""

    def __init__(self, figures: Sequence[Figured]) -> None:
        self._all = figures

    def find(self, preset: str, side: int, engine: str, threads: int, what: str) -> Figured | None:
        """Return a figure of a whole model; None where it was not measured."""
        for one in self._all:
            setting = one.line.setting
            key = (setting.preset, setting.side, setting.engine, one.threads, one.line.what)
            if key == (preset, side, engine, threads, what) and setting.experts is None:
                return one
        return None

    def engines(self) -> tuple[str, ...]:
        """Return the engines beside the reference."""
        names = dict.fromkeys(one.line.setting.engine for one in self._all)
        return tuple(name for name in names if name != REFERENCE)

    def experts(self, table_name: str, count: int) -> float | None:
        """Return the CPU-seconds of a decode with so many experts."""
        for one in self._all:
            if (one.line.table, one.line.amount, one.threads) == (table_name, count, 1):
                return one.cost.cpu_seconds
        return None


def targets(figures: Sequence[Figured]) -> list[Target]:
    """Return every target with its measured value."""
    known = Figures(figures)
    return [*_base(known), *_growth(known), *_compact(known)]


def target_table(figures: Sequence[Figured]) -> str:
    """Return the targets as a table."""
    rows = [one.row() for one in targets(figures)]
    return table(("what", "target", "measured", "engine", "verdict"), rows)


def _base(known: Figures) -> Iterator[Target]:
    """Yield the limits of the paper's size at 512 pixels on one thread, in CPU-seconds."""

    def cpu(engine: str, what: str) -> float | None:
        return _cpu(known.find(BASE, 512, engine, 1, what))

    for what, limit, plain in (
        (SESSION, 5.6, 16.0),
        (ONE_CLASS, 1.2, 3.5),
        (CLASSES_13, 10.0, None),
        (ONE_SHOT, 1.4, None),
    ):
        name = f"base, 512, {what}"
        if plain is not None:
            yield Target(name, "CPU s", plain, cpu(REFERENCE, what))
        for engine in known.engines():
            yield Target(name, "CPU s", limit, cpu(engine, what), engine)
    literal = cpu(REFERENCE, LITERAL)
    for engine in known.engines():
        name = "base, 512, session of 5 clicks over its literal form"
        yield Target(name, "", 0.2, _ratio(cpu(engine, SESSION), literal), engine)
    encode = known.find(BASE, 512, REFERENCE, 1, ENCODE)
    share = None if encode is None else encode.cost.share
    name = "base, 512, share of the matmul rate in the encoder"
    yield Target(name, "", 0.5, share, is_floor=True)
    for engine in (REFERENCE, *known.engines()):
        whole = known.find(BASE, 512, engine, 1, SESSION)
        megabytes = None if whole is None else whole.cost.megabytes
        name = "base, 512, session of 5 clicks, peak memory"
        yield Target(name, "MB", 700.0, megabytes, engine)


def _growth(known: Figures) -> Iterator[Target]:
    """Yield the limits on how cost grows with references and experts."""
    for engine in (REFERENCE, *known.engines()):
        one = _cpu(known.find(BASE, 512, engine, 1, ONE_SHOT))
        for count, limit in ((9, 1.3), (32, 1.8)):
            many = _cpu(known.find(BASE, 512, engine, 1, f"encode + {count}-shot, examples cached"))
            name = f"base, 512, {count}-shot / 1-shot"
            yield Target(name, "", limit, _ratio(many, one), engine)
    for queries in (2, 6):
        name = f"experts, {queries} queries"
        value = _ratio(known.experts(name, 5), known.experts(name, 1))
        yield Target(f"base, 512, 5 experts / 1 expert, {queries} queries", "", 1.15, value)


def _compact(known: Figures) -> Iterator[Target]:
    """Yield the limits of kprism-compact on two threads, by the clock."""
    engines = (REFERENCE, *known.engines())
    for side, limit in ((256, 60.0), (512, 200.0)):
        for engine in engines:
            click = known.find(COMPACT, side, engine, 2, ONE_CLICK)
            value = None if click is None else 1000 * click.cost.wall_p95
            yield Target(f"compact, {side}, a further click, p95", "ms", limit, value, engine)
    for engine in engines:
        volume = known.find(COMPACT, 256, engine, 2, VOLUME)
        seconds = None if volume is None else volume.cost.wall_p50
        name = "compact, 256, volume of 133 slices with 13 classes"
        yield Target(name, "s", 90.0, seconds, engine)
        value = None if volume is None else volume.cost.megabytes
        yield Target(f"{name}, peak memory", "MB", 2048.0, value, engine)


def _cpu(one: Figured | None) -> float | None:
    return None if one is None else one.cost.cpu_seconds


def _ratio(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of
