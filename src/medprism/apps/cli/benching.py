"""What `medprism bench` does once its arguments are read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from medprism.apps.cli.interrupt import STOPPED, Stop, Stoppable, stop_on_interrupt
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.errors import ConfigError, StoreError
from medprism.data.case import ROLES
from medprism.data.store import SliceStore
from medprism.engines.engine import REFERENCE_ENGINE
from medprism.engines.loading import load
from medprism.engines.threads import use_threads
from medprism.evaluation.bench.examination import (
    UNET,
    UNTRAINED,
    Examination,
    examine_system,
    examine_unets,
    examine_untrained,
)
from medprism.evaluation.bench.official.packages import OFFICIAL, PACKAGES
from medprism.evaluation.bench.report import compare_benches, difference_grid, write_bench
from medprism.evaluation.bench.runs import BenchOrder, read_system, train_system
from medprism.evaluation.bench.systems import SYSTEMS
from medprism.evaluation.benchmark import Plan
from medprism.evaluation.expert_weights import mean_over_gates, weights_by_knowledge
from medprism.evaluation.page import table
from medprism.evaluation.protocols import ClickLimits
from medprism.evaluation.unet_baseline import UNetRun

EVERYTHING = (*SYSTEMS, UNET, *UNTRAINED)


@dataclass(frozen=True, kw_only=True)
class BenchWish:
    """The arguments of `medprism bench run`, as typed."""

    store: Path
    out: Path
    systems: str
    cpu_seconds: float | None
    steps: int | None
    size: str
    side: int
    seeds: str
    train_sets: str
    roles: str
    datasets: str
    limit: int | None
    clicks: int
    refine_clicks: int | None
    threads: int | None

    def orders(self, system: str) -> list[BenchOrder]:
        """Return a run for each seed."""
        sets = split_list(self.train_sets, "--train-sets") if self.train_sets else ()
        return [
            BenchOrder(
                system=system,
                store=self.store,
                steps=self.steps,
                cpu_seconds=self.cpu_seconds,
                size=self.size,
                side=self.side,
                seed=_seed(seed),
                datasets=sets,
            )
            for seed in split_list(self.seeds, "--seeds")
        ]

    def examination(self) -> Examination:
        """Return which slices are examined, and with how many clicks."""
        plan = Plan(
            roles=split_list(self.roles, "--roles", ROLES),
            datasets=split_list(self.datasets, "--datasets") if self.datasets else (),
            limit=self.limit,
        )
        return Examination(
            plan=plan,
            limits=ClickLimits(interactive=self.clicks),
            refine_ours=self.clicks if self.refine_clicks is None else self.refine_clicks,
        )


def carry_out(wish: BenchWish) -> int:
    """Train and examine what is missing, then report; return 130 if stopped before the end."""
    use_threads(wish.threads, "--threads")
    chosen = (
        split_list(wish.systems, "--systems", EVERYTHING) if wish.systems else tuple(EVERYTHING)
    )
    store, examination = SliceStore.open(wish.store), wish.examination()
    orders = {name: wish.orders(name) for name in chosen if name in SYSTEMS}
    with stop_on_interrupt() as stop:
        for name in chosen:
            if name in orders and SYSTEMS[name].is_missing:
                package = SYSTEMS[name].needs
                print(f"{name} is left out: it needs pip install {package}", file=sys.stderr)
            elif name in orders:
                is_done = all(
                    _train_and_examine(one, store, wish.out, examination, stop)
                    for one in orders[name]
                )
                if not is_done:
                    print("stopped; the same command goes on", file=sys.stderr)
                    return STOPPED
            else:
                _examine_other(name, wish, store, examination)
    print(say_report(wish.out))
    return 0


def _train_and_examine(
    order: BenchOrder, store: SliceStore, out: Path, examination: Examination, stop: Stop
) -> bool:
    """Return whether the system is trained and examined."""
    with progress_bar(f"{order.name}: training") as bar:
        if not train_system(order, out, Stoppable(bar, stop)):
            return False
    model = read_system(order, out)
    if model is None:
        return False
    with progress_bar(f"{order.name}: examination") as bar:
        system = SYSTEMS[order.system]
        examine_system(model, system, store, out, examination, Stoppable(bar, stop))
    return True


def _examine_other(name: str, wish: BenchWish, store: SliceStore, examination: Examination) -> None:
    with progress_bar(name) as bar:
        if name != UNET:
            examine_untrained(name, store, wish.out, examination, bar)
            return
        sets = sum(info.role == "train" for info in store.infos.values())
        # The budget of one system, split over the sets.
        minutes = None if wish.cpu_seconds is None else wish.cpu_seconds / 60 / max(1, sets)
        steps = None if wish.steps is None else max(1, wish.steps // max(1, sets))
        run = UNetRun(minutes=minutes or UNetRun().minutes, steps=steps, size=wish.side)
        examine_unets(store, wish.out, examination, run, bar)


def describe_systems() -> str:
    """Return a table of everything that can be compared."""
    rows = []
    for name, system in SYSTEMS.items():
        by = [
            what
            for what, share in zip(("class", "references", "marks"), system.odds, strict=True)
            if share
        ]
        rows.append([name, system.title, system.group, ", ".join(by)])
    rows.append([UNET, "a UNet for each set", "a model for each task", "nothing"])
    rows += [[name, name, "no training at all", "marks"] for name in UNTRAINED]
    rows += [[name, one.title, OFFICIAL, "your own weights"] for name, one in PACKAGES.items()]
    return table(["system", "what it is", "group", "learns by"], rows)


def say_report(out: Path) -> str:
    """Write the report and return where it is and what is in it."""
    written = write_bench(out)
    return f"{written.page}: {', '.join(written.systems)}"


def say_changes(first: Path, second: Path) -> str:
    """Return the table of changes between two benches."""
    grid = difference_grid(compare_benches(first, second))
    return "\n\n".join([*grid.notes, table(grid.header, grid.rows)])


def say_experts(model: str, store: Path, dataset: str, limit: int, threads: int | None) -> str:
    """Return the mean weights of experts: over all gates, then gate by gate."""
    loaded = load(model, REFERENCE_ENGINE, threads)
    with progress_bar("asking") as bar:
        found = weights_by_knowledge(
            loaded, SliceStore.open(store), dataset, limit=limit, progress=bar
        )
    rows = []
    for protocol, means in found.items():
        if not means:
            continue
        rows.append([protocol, "all", "all", *map(_share, mean_over_gates(means))])
        rows += [[protocol, str(one.layer), one.part, *map(_share, one.weights)] for one in means]
    if not rows:
        raise StoreError(f"{dataset!r} has no test slice that shows a class of {model}")
    experts = [f"expert {number}" for number in range(1, len(rows[0]) - 2)]
    return table(["asked", "layer", "gate", *experts], rows)


def _share(weight: float) -> str:
    return f"{weight:.3f}"


def _seed(text: str) -> int:
    if not text.strip().isdecimal():
        raise ConfigError(f"seed {text!r} of --seeds must be a whole number of at least 0")
    return int(text)
