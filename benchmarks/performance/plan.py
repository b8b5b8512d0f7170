"""What is measured: every figure as a line with a preset, a size, an engine and a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.performance.cost import Work
from benchmarks.performance.pieces import Bench, Setting, literal_session
from benchmarks.performance.training import PLANS, training_step

SESSION: Final = "session of 5 clicks"
LITERAL: Final = "session of 5 clicks, literal form"


@dataclass(frozen=True)
class Line:
    """One figure: in which table it stands, what it is about, and how the work is made.

    `amount` is what a growth table counts (classes, references, ...); None in the main table.
    """

    setting: Setting
    table: str
    what: str
    make: Callable[[Bench], Work]
    amount: int | None = None
    learns: bool = False


@dataclass(frozen=True)
class Scale:
    """How much is measured: counts of the growth tables and length of the volume."""

    classes: tuple[int, ...] = (1, 3, 13, 33)
    references: tuple[int, ...] = (1, 3, 9, 32)
    clicks: tuple[int, ...] = (1, 2, 5, 10, 20)
    slices: tuple[int, ...] = (16, 133)
    sides: tuple[int, ...] = (128, 256, 384, 512)
    experts: tuple[int, ...] = (1, 2, 3, 4, 5)
    volume_classes: int = 13
    batch: int = 4

    def brief(self) -> Scale:
        """Return what is measured of engines beside the reference: what has a target."""
        return replace(
            self,
            classes=tuple(one for one in self.classes if one in (1, 13)),
            references=tuple(one for one in self.references if one != 3),
            clicks=self.clicks[:1],
            slices=self.slices[-1:],
        )


QUICK: Final = Scale((1, 3), (1, 2), (1,), (2,), (32,), (1, 2), 2, 1)


def lines(setting: Setting, scale: Scale, *, has_volume: bool) -> Iterator[Line]:
    """Yield the lines of one preset at one size on one engine."""
    yield Line(setting, "main", "encode", lambda bench: bench.encode())
    for count in scale.classes:
        what = f"encode + {count} class{'es' if count > 1 else ''}"
        yield Line(setting, "classes", what, lambda b, n=count: b.semantic(n), count)
    for count in scale.references:
        what = f"encode + {count}-shot, examples cached"
        yield Line(setting, "references", what, lambda b, n=count: b.in_context(n), count)
    for count in scale.clicks:
        what = f"one decode with {count} click{'s' if count > 1 else ''} so far"
        make = _clicked(count)
        yield Line(setting, "clicks", what, make, count)
    yield Line(setting, "main", SESSION, lambda bench: bench.session(5))
    if setting.engine == "torch":
        yield Line(setting, "main", LITERAL, lambda bench: literal_session(bench, 5))
    if has_volume:
        for count in scale.slices:
            what = f"volume of {count} slices, {scale.volume_classes} classes"
            make = _volume(count, scale.volume_classes)
            yield Line(setting, "slices", what, make, count)


def _clicked(count: int) -> Callable[[Bench], Work]:
    return lambda bench: bench.decode(concept=False, clicks=count)


def _volume(slices: int, classes: int) -> Callable[[Bench], Work]:
    return lambda bench: bench.volume(slices, classes)


def training_lines(setting: Setting, scale: Scale) -> Iterator[Line]:
    """Yield a training step of every kind."""
    for kind in PLANS:
        what = f"training step, {kind}, {scale.batch} requests"
        make = _trained(setting, kind, scale.batch)
        yield Line(setting, "training", what, make, learns=True)


def _trained(setting: Setting, kind: str, requests: int) -> Callable[[Bench], Work]:
    return lambda bench: training_step(setting, kind, requests)


def size_lines(setting: Setting, scale: Scale) -> Iterator[Line]:
    """Yield one class at every size."""
    for side in scale.sides:
        sized = Setting(setting.preset, side, setting.engine)
        what = f"encode + 1 class at {side}"
        yield Line(sized, "sizes", what, lambda bench: bench.semantic(1), side)


def expert_lines(setting: Setting, scale: Scale) -> Iterator[Line]:
    """Yield one decode at 2, 6 and 10 queries for every number of experts [KPrism, Table 8]."""
    kinds: tuple[tuple[int, Callable[[Bench], Work]], ...] = (
        (2, lambda bench: bench.decode(concept=True, clicks=0)),
        (6, lambda bench: bench.decode(concept=False, clicks=0, examples=1)),
        (10, lambda bench: bench.decode(concept=True, clicks=8)),
    )
    for queries, make in kinds:
        for experts in scale.experts:
            sized = Setting(setting.preset, setting.side, setting.engine, experts)
            yield Line(sized, f"experts, {queries} queries", f"{experts} experts", make, experts)
