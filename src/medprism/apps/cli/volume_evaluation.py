"""What `medprism evaluate-volumes` does once its arguments are read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import typer

from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.durable import make_folder
from medprism.data.datasets.adapters import open_dataset
from medprism.data.datasets.discovery import find_datasets
from medprism.data.store import SliceStore
from medprism.engines.loading import load
from medprism.evaluation.benchmark import read_cells
from medprism.evaluation.volume_report import PAGE, headline, write_volume_report
from medprism.evaluation.volumes import VolumeSettings, examine_volumes, lacking_classes

# Where splits are kept that the sets themselves do not say.
SPLITS: Final = "splits"


@dataclass(frozen=True, kw_only=True)
class VolumesWish:
    """The arguments of `medprism evaluate-volumes`, as typed."""

    folders: tuple[Path, ...]
    out: Path
    model: str
    split: str
    store: Path | None
    limit: int | None
    shots: int
    tolerance: float
    auto_zoom: bool
    engine: str
    threads: int | None


def carry_out(wish: VolumesWish, *, as_json: bool) -> None:
    """Measure every set, write the report of all results in the folder, print its means."""
    settings = VolumeSettings(
        split=wish.split, limit=wish.limit, shots=wish.shots, tolerance_mm=wish.tolerance
    )
    found = find_datasets(wish.folders)
    model = load(wish.model, wish.engine, wish.threads)
    splits = (SliceStore.open(wish.store).path if wish.store else wish.out) / SPLITS
    make_folder(wish.out)
    lacking = {}
    for folder in found:
        dataset = open_dataset(folder, splits)
        lacking[dataset.info.name] = lacking_classes(model, dataset.info)
        with progress_bar(dataset.info.name) as bar:
            examine_volumes(model, dataset, wish.out, settings, bar, auto_zoom=wish.auto_zoom)
    figures = write_volume_report(read_cells(wish.out), wish.out, lacking)
    if as_json:
        typer.echo(json.dumps({"sets": [asdict(one) for one in figures]}, indent=1))
    else:
        typer.echo(f"{headline(figures)}\nevery class with its interval: {wish.out / PAGE}")
