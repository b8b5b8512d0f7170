"""What `medprism evaluate` does once its arguments are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import typer

from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.data.case import ROLES
from medprism.data.datasets.discovery import find_datasets
from medprism.data.store import SliceStore
from medprism.engines.loading import load
from medprism.evaluation.baselines.clicked import CLICK_METHODS, ClickedBaseline
from medprism.evaluation.benchmark import Plan, read_cells, run
from medprism.evaluation.cases import CaseReader, FolderReader, StoreReader
from medprism.evaluation.catalog import CATALOG
from medprism.evaluation.examiners import Examiner, SessionExaminer
from medprism.evaluation.figures import Figures
from medprism.evaluation.protocols import PROTOCOLS
from medprism.evaluation.report import write_report
from medprism.evaluation.unet_baseline import UNetBaseline, UNetRun

UNET: Final = "UNet"


@dataclass(frozen=True, kw_only=True)
class EvaluateWish:
    """The arguments of `medprism evaluate`, as typed."""

    store: Path
    out: Path
    model: str
    roles: str
    split: str
    datasets: str
    limit: int | None
    protocols: str
    baselines: str
    unet_minutes: float
    data: tuple[Path, ...]
    auto_zoom: bool
    engine: str
    threads: int | None


def carry_out(wish: EvaluateWish, *, as_json: bool) -> None:
    """Measure, write the report of all results in the folder, print its headline."""
    plan = Plan(
        roles=split_list(wish.roles, "--roles", ROLES),
        split=wish.split,
        datasets=split_list(wish.datasets, "--datasets") if wish.datasets else (),
        limit=wish.limit,
    )
    loaded = load(wish.model, wish.engine, wish.threads)
    store = SliceStore.open(wish.store)
    reader = FolderReader(store, find_datasets(wish.data)) if wish.data else StoreReader(store)
    chosen = split_list(wish.protocols, "--protocols", tuple(CATALOG)) if wish.protocols else ()
    examiner = SessionExaminer(
        loaded,
        store,
        reader,
        protocols=chosen or tuple(PROTOCOLS),
        auto_zoom=wish.auto_zoom,
    )
    for one in (examiner, *_baselines(wish, store, reader)):
        with progress_bar(one.name) as bar:
            run(one, store, loaded.concepts, plan, wish.out, bar)
    figures = write_report(read_cells(wish.out), wish.out)
    typer.echo(json.dumps(asdict(figures), indent=1) if as_json else _headline(figures, wish.out))


def _baselines(wish: EvaluateWish, store: SliceStore, reader: CaseReader) -> Iterator[Examiner]:
    if not wish.baselines:
        return
    for name in split_list(wish.baselines, "--baselines", (*CLICK_METHODS, UNET)):
        if name == UNET:
            yield UNetBaseline(store, reader, UNetRun(minutes=wish.unet_minutes))
        else:
            yield ClickedBaseline(name, store, reader)


def _headline(figures: Figures, out: Path) -> str:
    lines = [
        f"{line.role} ({line.rule}), {line.method}: "
        + ", ".join(f"{name} {average.value:.3f}" for name, average in line.figures.items())
        for line in figures.headlines
        if line.rule in ("classes", "all")
    ]
    return "\n".join([*lines, f"every set and the rules of the averages: {out / 'report.md'}"])
