"""What `medprism predict` does with Iris: a volume by a task file, by references, or by class."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import typer

from medprism.apps.cli.listing import split_list
from medprism.apps.cli.prediction import Wish
from medprism.apps.cli.progress_bar import progress_bar
from medprism.apps.volume_references import read_volume_references
from medprism.core.errors import ConfigError, WriteError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.engines.iris import LoadedIris, load_iris
from medprism.inference.iris.encoding import encode_task
from medprism.inference.iris.segmentation import (
    STRATEGIES,
    FoundVolume,
    Strategy,
    segment_by_task,
    tasks_of_bank,
)
from medprism.inference.iris.task_file import SUFFIX, Task, load_task
from medprism.io.reader import read_image
from medprism.io.writer import choose_format, write_mask
from medprism.models.catalog import IRIS_PRESETS, PRESETS
from medprism.models.checkpoint import architecture_of

# What is asked where no model is named.
MODEL: Final = "kprism-compact"
IRIS_MODEL: Final = "iris-compact"


@dataclass(frozen=True, kw_only=True)
class VolumeWish:
    """The arguments of `medprism predict` that Iris takes; `others` are refused."""

    image: Path
    out: Path | None
    model: str
    task: str | None
    classes: tuple[str, ...]
    references: Path | None
    strategy: str
    keep: int
    resample: bool
    priority: tuple[str, ...]
    format: str | None
    series: str | None
    threads: int | None
    others: dict[str, object]


def choose_model(model: str | None, task: str | None) -> str:
    """Return the model that is asked for; where none is, the shipped one that fits the task.

    >>> choose_model(None, "liver.task"), choose_model(None, "polyp"), choose_model("a", "b.task")
    ('iris-compact', 'kprism-compact', 'a')
    """
    if model is not None:
        return model
    return IRIS_MODEL if task is not None and task.endswith(SUFFIX) else MODEL


def wants_iris(model: str, task: str | None) -> bool:
    """Say whether a task file is given, or a model that is Iris.

    >>> wants_iris("kprism-compact", "liver.task"), wants_iris("kprism-compact", None)
    (True, False)
    >>> wants_iris("iris-compact", None)
    True
    """
    if model in IRIS_PRESETS or (task is not None and task.endswith(SUFFIX)):
        return True
    if model in PRESETS:
        return False
    path = Path(model)
    return path.is_file() and architecture_of(path) == "iris"


def volume_wish(wish: Wish, task: str | None, strategy: str, keep: int) -> VolumeWish:
    """Return what is asked of Iris by the arguments of `medprism predict`."""
    return VolumeWish(
        image=Path(wish.image),
        out=wish.out,
        model=wish.model,
        task=task,
        classes=split_list(wish.classes, "--classes") if wish.classes else (),
        references=wish.references,
        strategy=strategy,
        keep=keep,
        resample=wish.resample,
        priority=split_list(wish.priority, "--priority") if wish.priority else (),
        format=wish.format,
        series=wish.series,
        threads=wish.threads,
        others={
            "--to": wish.to,
            "--label": wish.label,
            "--click": wish.clicks,
            "--click-mm": wish.clicks_mm,
            "--box": wish.boxes,
            "--statistics": wish.statistics,
            "--probability": wish.probability,
            "--overlay": wish.overlay,
            "--deidentify": wish.deidentify,
            "--level": wish.level is not None,
            "--tile": wish.tile,
            "--ray": wish.ray is not None,
            "--workers": wish.workers,
        },
    )


def segment_volume(wish: VolumeWish, *, as_json: bool) -> int:
    """Segment one volume, write its mask and print what was found."""
    given = [name for name, value in wish.others.items() if value]
    if given:
        raise ConfigError(
            f"{', '.join(given)} is nothing for Iris, which takes a task file, references or "
            "classes; leave it out"
        )
    if wish.out is None:
        raise WriteError("nothing says where the mask goes; give -o FILE")
    if wish.model in PRESETS:
        raise ConfigError(
            f"the task file {wish.task} belongs to a checkpoint of Iris, and {wish.model} is none; "
            "give it with --model"
        )
    # An unknown suffix is refused before anything is computed.
    chosen = choose_format(wish.out, wish.format)
    loaded = load_iris(wish.model, wish.threads)
    image = read_image(wish.image, wish.series)
    started = time.monotonic()
    found = _found(loaded, image, wish)
    masks = found.masks()
    if not (chosen.holds_overlaps or wish.priority):
        masks = found.exclusive_masks()
    planes = {name: np.asarray(image.from_stack(mask)) for name, mask in masks.items()}
    write_mask(wish.out, Labels(planes), image, format=wish.format, priority=wish.priority)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    typer.echo(_show(wish, counts, time.monotonic() - started, as_json=as_json))
    return 0


def _found(loaded: LoadedIris, image: Image, wish: VolumeWish) -> FoundVolume:
    tasks = _tasks(loaded, wish)
    with progress_bar("segmenting") as bar:
        parts = [
            segment_by_task(loaded, image, task, _strategy(wish), keep=wish.keep, progress=bar)
            for task in tasks
        ]
    names = tuple(name for part in parts for name in part.classes)
    return FoundVolume(names, np.concatenate([part.logits for part in parts]))


def _tasks(loaded: LoadedIris, wish: VolumeWish) -> tuple[Task, ...]:
    if wish.task is not None and wish.references is not None:
        raise ConfigError("give either --task or --references: the task holds its references")
    if wish.task is not None:
        task = load_task(Path(wish.task))
        task.check_model(loaded, Path(wish.task))
        return (task.select(wish.classes) if wish.classes else task,)
    if wish.references is not None:
        references, classes = read_volume_references(
            wish.references, wish.classes, resample=wish.resample
        )
        with progress_bar("encoding") as bar:
            return (encode_task(loaded, references, classes, progress=bar),)
    if not wish.classes:
        raise ConfigError("say what to segment: --task, --references or --classes")
    return tasks_of_bank(loaded, wish.classes)


def _strategy(wish: VolumeWish) -> Strategy:
    strategies: dict[str, Strategy] = {
        "one-shot": "one-shot",
        "ensemble": "ensemble",
        "images": "images",
        "objects": "objects",
    }
    if wish.strategy not in strategies:
        raise ConfigError(f"--strategy {wish.strategy!r} is unknown; use {', '.join(STRATEGIES)}")
    return strategies[wish.strategy]


def _show(wish: VolumeWish, counts: dict[str, int], seconds: float, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(
            {
                "image": str(wish.image),
                "mask": str(wish.out),
                "milliseconds": round(1000 * seconds, 1),
                "voxels": counts,
            },
            indent=1,
        )
    lines = [f"{name}: {count} voxels" for name, count in counts.items()]
    return "\n".join([f"{wish.image} -> {wish.out} ({seconds:.1f} s)", *lines])
