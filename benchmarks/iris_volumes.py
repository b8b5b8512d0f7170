"""Iris on whole volumes: `python -m benchmarks.iris_volumes --data DATA --model CKPT --out OUT`.

References are of `train`, queries of `test`. Dice of every class by one reference, by the average
of all, by the bank, by retrieval (image, object) and after in-context tuning; strategies against
the share of the pool; one UNet for each set with the same blocks, trained for the same minutes.
Writes OUT/volumes.json and volumes.md; what is there already is not measured again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from jaxtyping import Bool, Float32
from torch import Tensor, nn

from medprism.core.durable import make_folder, read_json, write_bytes, write_json
from medprism.core.image import Image
from medprism.core.randomness import counter_rng
from medprism.core.volume_intensity import standardise_volume
from medprism.core.working_grid import WorkingGrid
from medprism.data.datasets.discovery import find_datasets
from medprism.data.datasets.folder import FolderDataset
from medprism.data.volume_episode import VolumeEpisode, VolumeEpisodes, exhaustive_rows
from medprism.data.volumes import open_volume_sets, read_volume_set
from medprism.engines.iris import LoadedIris, load_iris
from medprism.inference.iris.encoding import (
    VolumeReference,
    WorkingReference,
    bring_reference,
    encode_task,
    fit_embedding,
)
from medprism.inference.iris.segmentation import segment_by_task, tasks_of_bank
from medprism.inference.iris.sliding import slide
from medprism.inference.iris.task_file import Task
from medprism.io.reader import read_image, read_mask
from medprism.metrics.dice import dice
from medprism.models.blocks.unet import UNetEncoder, UNetStep
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.iris.retrieval import share_of_pool
from medprism.models.iris.tuning import TuningSettings, class_losses
from medprism.models.segmenter import Features
from medprism.training.iris.config import IrisTrainConfig, iris_recipe
from medprism.training.iris.lesson import Lesson, image_tensor, mask_tensor, mean_dice
from medprism.training.iris.loop import train_volumes
from medprism.training.loop import Schedule

FORMAT: Final = "medprism-iris-volumes"
VERSION: Final = 1
SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
Masks = dict[str, Bool[np.ndarray, "slices height width"]]


class TaskUNet(nn.Module):
    """Iris' encoder and way up with a fixed class a channel: what one task alone would train."""

    def __init__(self, preset: str, classes: int) -> None:
        super().__init__()
        self.config = IRIS_PRESETS[preset].config(1)
        body = self.config.body
        self.encoder = UNetEncoder(body)
        levels = len(body.widths)
        self.steps = nn.ModuleList(UNetStep(body, level) for level in reversed(range(levels - 1)))
        self.head = nn.Conv3d(body.widths[0], classes, 1)
        # Most voxels show none of the classes.
        self.head.bias = nn.Parameter(torch.full((classes,), -2.0))

    def encode(self, image: Tensor) -> Features:
        """Return the maps of images."""
        return Features(self.encoder(image))

    def decode(self, features: Features, tasks: TaskEmbeddings | None = None) -> Tensor:
        """Return the logits of all classes; there is no task to ask for."""
        grid = features.maps[-1]
        for step, skip in zip(self.steps, features.maps[-2::-1], strict=True):
            grid = step(grid, skip)
        logits: Tensor = self.head(torch.relu(grid))
        return logits


@dataclass
class UNetLearner:
    """A UNet learns from the queries of the same episodes; references are not looked at."""

    model: TaskUNet
    rows: tuple[int, ...]

    def study(self, episode: VolumeEpisode) -> Lesson:
        """Segment the query by its classes' channels."""
        channels = [self.rows.index(int(row)) for row in episode.concept]
        logits = self.model.decode(self.model.encode(image_tensor(episode.image)))[:, channels]
        target = mask_tensor(episode.target)
        return Lesson(class_losses(logits, target).mean(), mean_dice(logits, target))

    def finish_step(self) -> None:
        """Do nothing more."""


@dataclass(frozen=True)
class _Clock:
    """A log and progress that stops after some seconds (of steps, not of reading)."""

    until: float

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Forget the figures."""

    def report(self, done: int, total: int, message: str = "") -> None:
        """Show nothing."""

    def is_cancelled(self) -> bool:
        """Return True when the time is over."""
        return time.monotonic() >= self.until


@dataclass(frozen=True, eq=False)
class Bench:
    """One dataset: its training references, test cases and the classes that are measured."""

    loaded: LoadedIris
    dataset: FolderDataset
    rows: dict[int, tuple[int, ...]]
    most: int | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, as the model has them."""
        return tuple(self.loaded.concepts[row].name for row in self.rows)

    @property
    def spacing(self) -> float:
        """The spacing the model was trained with on this set."""
        return self.loaded.spacing[self.dataset.info.name]

    def of(self, split: str) -> list[str]:
        """Return the cases of a side of the split, at most `most` of them, spread evenly."""
        cases = [case for case in self.dataset.images if self.dataset.split[case] == split]
        if self.most is None or len(cases) <= self.most:
            return cases
        return [cases[int(at)] for at in np.linspace(0, len(cases) - 1, self.most).round()]

    def read(self, case: str) -> VolumeReference:
        """Read a case with the mask of every class."""
        image = read_image(self.dataset.images[case])
        image = image.replace(modality=image.modality or self.dataset.info.modality)
        labels = read_mask(self.dataset.masks[case], like=image).array
        masks = {
            self.loaded.concepts[row].name: np.isin(labels, ids) for row, ids in self.rows.items()
        }
        return VolumeReference(case, image, masks)


def score(found: Masks, truth: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return Dice of every class that was asked for and that the truth shows."""
    return {
        name: dice(mask, truth[name]) for name, mask in found.items() if bool(truth[name].any())
    }


def measure(bench: Bench, segment: Callable[[VolumeReference], Masks]) -> dict[str, float]:
    """Return mean Dice of every class over the test cases."""
    found: dict[str, list[float]] = {}
    for case in bench.of("test"):
        query = bench.read(case)
        for name, value in score(segment(query), query.masks).items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def strategies(
    bench: Bench, task: Task, references: list[WorkingReference], steps: int
) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Yield every way of asking with the function that measures it."""
    loaded = bench.loaded

    def by(name: Any, keep: int = 1) -> Callable[[], dict[str, float]]:  # noqa: ANN401
        return lambda: measure(
            bench, lambda query: segment_by_task(loaded, query.image, task, name, keep=keep).masks()
        )

    keep = share_of_pool(task.pool.num_rows, 0.2)
    yield "one-shot", by("one-shot")
    yield "ensemble", by("ensemble")
    yield "image retrieval, 20 %", by("images", keep)
    yield "object retrieval, 20 %", by("objects", keep)
    yield "bank", lambda: measure(bench, lambda query: _by_bank(bench, query.image))
    yield f"tuned, {steps} steps", lambda: measure(bench, _tuned(bench, task, references, steps))


def _by_bank(bench: Bench, image: Image) -> Masks:
    """Segment by the bank; a class that training never showed is not in the result."""
    masks: Masks = {}
    rows = torch.tensor([list(bench.rows)])
    known = bench.loaded.model.recall(rows).present[0].tolist()
    names = [name for name, is_known in zip(bench.classes, known, strict=True) if is_known]
    for task in tasks_of_bank(bench.loaded, names):
        moved = replace(task, spacing=bench.spacing)
        masks |= segment_by_task(bench.loaded, image, moved).masks()
    return masks


def _tuned(
    bench: Bench, task: Task, references: Sequence[WorkingReference], steps: int
) -> Callable[[VolumeReference], Masks]:
    settings = TuningSettings(steps=steps)
    tuned = replace(task, pool=fit_embedding(bench.loaded, task, references, settings).tasks)
    return lambda query: segment_by_task(bench.loaded, query.image, tuned).masks()


def part_of(task: Task, share: float, seed: int) -> tuple[Task, list[int]]:
    """Return the task of a drawn share of its references, and which these are."""
    keep = share_of_pool(task.pool.num_rows, share)
    order = counter_rng(seed, "pool").permutation(task.pool.num_rows)[:keep].tolist()
    index = torch.tensor(order)
    described = task.described.index_select(0, index)
    sources = tuple(task.sources[row] for row in order)
    part = replace(task, pool=task.pool.select(index), described=described, sources=sources)
    return part, order


def curve(
    bench: Bench, task: Task, references: list[WorkingReference], steps: int, share: float
) -> dict[str, dict[str, float]]:
    """Return the strategies at a share of the pool: retrieval chooses it, the others draw it."""
    loaded, keep = bench.loaded, share_of_pool(task.pool.num_rows, share)
    part, order = part_of(task, share, 1)

    def by(some: Task, name: Any, kept: int = 1) -> dict[str, float]:  # noqa: ANN401
        return measure(
            bench, lambda query: segment_by_task(loaded, query.image, some, name, keep=kept).masks()
        )

    shown = [references[row] for row in order]
    return {
        "ensemble": by(part, "ensemble"),
        "image retrieval": by(task, "images", keep),
        "object retrieval": by(task, "objects", keep),
        "tuned": measure(bench, _tuned(bench, part, shown, steps)),
    }


def train_unet(bench: Bench, preset: str, minutes: float) -> tuple[TaskUNet, int]:
    """Train a UNet on one set for some minutes; return the averaged model and its steps.

    The schedule falls over the steps that the first ones say will fit.
    """
    config = iris_recipe(preset, 1)
    volumes = read_volume_set(bench.dataset, config.episode.side)
    episodes = VolumeEpisodes([volumes], bench.loaded.concepts, config.episode)

    def run(steps: int, seconds: float) -> tuple[TaskUNet, int, float]:
        torch.manual_seed(1)
        learner = UNetLearner(TaskUNet(preset, len(bench.rows)), tuple(bench.rows))
        chosen: IrisTrainConfig = replace(config, steps=steps)
        started = time.monotonic()
        clock = _Clock(started + seconds)
        with TemporaryDirectory() as folder:
            position = train_volumes(
                learner,
                episodes.draw,
                chosen,
                Path(folder),
                schedule=Schedule(save_every=10**9, log_every=10**9),
                validate=None,
                on_best=None,
                log=clock,
                progress=clock,
            )
        return learner.model, position.step, time.monotonic() - started

    _, timed, seconds = run(4, 1e9)
    steps = max(1, int((60 * minutes - seconds) * timed / seconds))
    model, done, _ = run(steps, 60 * minutes)
    return model.eval(), done


def by_unet(bench: Bench, model: TaskUNet) -> Callable[[VolumeReference], Masks]:
    """Return the function that segments by a UNet, on the same grid and windows as Iris."""
    nothing = TaskEmbeddings(
        torch.zeros(1, len(bench.rows), 1, 1), torch.ones(1, len(bench.rows), dtype=torch.bool)
    )

    def segment(query: VolumeReference) -> Masks:
        grid = WorkingGrid(query.image.geometry, bench.spacing)
        working: Float32[np.ndarray, "slices height width"] = grid.bring(
            standardise_volume(query.image)
        )
        logits = slide(model, working, nothing, bench.loaded.window)
        return {
            name: grid.take_back(one) > 0 for name, one in zip(bench.classes, logits, strict=True)
        }

    return segment


class Results:
    """What was measured, written after every figure."""

    def __init__(self, folder: Path, loaded: LoadedIris) -> None:
        make_folder(folder)
        self.path = folder / "volumes.json"
        self.rows: dict[str, Any] = {}
        if self.path.exists():
            document = read_json(self.path, FORMAT, VERSION)
            if document["weights_hash"] != loaded.weights_hash:
                raise typer.BadParameter(f"{folder} holds figures of another model; choose another")
            self.rows = document["rows"]
        self.weights_hash = loaded.weights_hash

    def take(self, key: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return a figure, measured unless it is there."""
        if key not in self.rows:
            started = time.process_time()
            value = work()
            spent = round(time.process_time() - started, 1)
            self.rows[key] = {"value": value, "cpu_seconds": spent}
            payload = {"weights_hash": self.weights_hash, "rows": self.rows}
            write_json(self.path, FORMAT, VERSION, payload)
            typer.echo(f"{key}: {self.rows[key]}", err=True)
        return self.rows[key]["value"]


@dataclass(frozen=True)
class Plan:
    """What is measured on every set; see the options."""

    tune_steps: int
    shares_of: str
    unet_minutes: float
    preset: str


def measure_set(bench: Bench, results: Results, plan: Plan) -> None:
    """Measure one set: strategies, the curve where it is asked for, and a UNet."""
    name = bench.dataset.info.name
    references = [bench.read(case) for case in bench.of("train")]
    task = encode_task(bench.loaded, references, bench.classes, spacing=bench.spacing)
    working = [bring_reference(one, bench.classes, bench.spacing) for one in references]
    for what, work in strategies(bench, task, working, plan.tune_steps):
        results.take(f"{name} | {what}", work)
    if name == plan.shares_of:
        for share in SHARES:
            key = f"{name} | share {share:g}"
            results.take(key, partial(curve, bench, task, working, plan.tune_steps, share))
    if plan.unet_minutes:

        def unet() -> dict[str, float]:
            trained, _ = train_unet(bench, plan.preset, plan.unet_minutes)
            return measure(bench, by_unet(bench, trained))

        results.take(f"{name} | UNet, {plan.unet_minutes:g} min", unet)


def page(results: Results) -> str:
    """Return the figures as Markdown: one table a set, classes by row."""
    lines = ["# Iris on volumes", ""]
    by_set: dict[str, dict[str, dict[str, float]]] = {}
    for key, row in results.rows.items():
        name, _, what = key.partition(" | ")
        if not what.startswith("share "):
            by_set.setdefault(name, {})[what] = row["value"]
        else:
            for strategy, value in row["value"].items():
                by_set.setdefault(f"{name}, {what}", {})[strategy] = value
    for name, columns in by_set.items():
        classes = list(dict.fromkeys(c for column in columns.values() for c in column))
        lines += [f"## {name}", "", f"| class | {' | '.join(columns)} |"]
        lines += ["|---|" + "--:|" * len(columns)]
        for label in (*classes, "mean"):
            cells = [
                f"{np.mean(list(c.values())) if label == 'mean' else c.get(label, np.nan):.3f}"
                for c in columns.values()
            ]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main(
    data: Annotated[list[Path], typer.Option(help="Folders of volumes, as for training.")],
    model: Annotated[Path, typer.Option(help="Checkpoint of Iris.")],
    out: Annotated[Path, typer.Option(help="Folder of the figures.")],
    datasets: Annotated[str, typer.Option(help="Only these sets, with commas.")] = "",
    most: Annotated[int | None, typer.Option(help="At most this many cases a side.")] = None,
    tune_steps: Annotated[int, typer.Option(help="Steps of in-context tuning.")] = 60,
    shares_of: Annotated[
        str, typer.Option(help="Set whose strategies are measured against the share of the pool.")
    ] = "",
    unet_minutes: Annotated[float, typer.Option(help="Training of a UNet a set (0: none).")] = 0.0,
    preset: Annotated[str, typer.Option(help="Preset whose blocks the UNet has.")] = "iris-compact",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Measure a checkpoint on the test volumes of every set it was trained on."""
    loaded = load_iris(model, threads)
    results = Results(out, loaded)
    plan = Plan(tune_steps, shares_of, unet_minutes, preset)
    for bench in _benches(loaded, data, datasets, most):
        measure_set(bench, results, plan)
    write_bytes(out / "volumes.md", page(results).encode())
    typer.echo(page(results))


def _benches(
    loaded: LoadedIris, data: list[Path], datasets: str, most: int | None
) -> Iterator[Bench]:
    folders = find_datasets(data)
    with TemporaryDirectory() as splits:
        opened = open_volume_sets(folders, Path(splits))
    wanted = set(datasets.split(",")) if datasets else None
    for dataset in opened:
        name = dataset.info.name
        if name in loaded.spacing and (wanted is None or name in wanted):
            rows = exhaustive_rows(loaded.concepts, name)
            yield Bench(loaded, dataset, rows, most)


if __name__ == "__main__":
    typer.run(main)
