"""One small UNet per task: trained on a set's own `train`, for as many minutes as one is given."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medprism.core.errors import ConfigError, StoreError
from medprism.core.image import Image
from medprism.core.preprocess import (
    choose_rule,
    fit_to,
    lift,
    place,
    standardise,
    to_eight_bit_range,
)
from medprism.core.randomness import counter_rng
from medprism.data.appearance import AppearanceConfig
from medprism.data.augment import WarpConfig, draw_warp, prepare_sampling, warp_plane
from medprism.data.store import SliceStore
from medprism.data.view import render
from medprism.evaluation.cases import CaseReader, Target
from medprism.evaluation.protocols import ABSENT, SEMANTIC, Answer, Question, Stopwatch, make_row
from medprism.evaluation.results import ResultRow
from medprism.metrics.dice import dice
from medprism.metrics.presence import presence_score
from medprism.models.zoo.unet import UNet, UNetConfig
from medprism.objectives.cross_entropy import cross_entropy
from medprism.objectives.dice_loss import dice_loss
from medprism.training.initial import draw_weights

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UNetRun:
    """How a UNet is trained: Dice + cross-entropy, AdamW, cosine; the last weights are used.

    `minutes` of wall time are turned into a step count once, by timing `timed_steps` steps (after
    one that warms up) that are then forgotten; `steps`, where given, is taken instead.
    """

    minutes: float = 5.0
    steps: int | None = None
    timed_steps: int = 4
    size: int = 256
    batch: int = 8
    peak_rate: float = 4e-3
    weight_decay: float = 0.01
    seed: int = 0
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    bfloat16: bool = True
    warp: WarpConfig = field(default_factory=WarpConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)

    def __post_init__(self) -> None:
        counts = (self.batch, self.timed_steps, 1 if self.steps is None else self.steps)
        if self.minutes <= 0 or min(counts) < 1:
            raise ConfigError(
                f"a UNet needs minutes > 0 and at least 1 step, image and timed step, got "
                f"{self.minutes}, {self.steps}, {self.batch}, {self.timed_steps}"
            )


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Canvases, coverage of every class in 0..1, and which (image, class) pairs are labelled."""

    images: Float[Tensor, "images 3 size size"]
    targets: Float[Tensor, "images classes size size"]
    is_labelled: Float[Tensor, "images classes"]


def draw_batch(
    store: SliceStore,
    rows: Sequence[int],
    targets: Sequence[Target],
    run: UNetRun,
    step: int,
) -> TaskBatch:
    """Return the batch of a step; it depends on seed and step only.

    A class that the set does not label exhaustively counts only where it is shown.
    """
    images = np.zeros((run.batch, run.size, run.size, 3), np.uint8)
    planes = np.zeros((run.batch, len(targets), run.size, run.size), np.float32)
    labelled = np.zeros((run.batch, len(targets)), np.float32)
    for index in range(run.batch):
        rng = counter_rng(run.seed, step, index, "unet")
        number = rows[int(rng.integers(len(rows)))]
        row = store.rows[number]
        warp = draw_warp(rng, (row.shape[0], row.shape[1]), run.size, run.warp)
        sampling = prepare_sampling(warp)
        images[index] = render(rng, store.image(number), sampling, run.appearance)
        for place_of, target in enumerate(targets):
            if target.is_shown(row):
                coverage = warp_plane(store.plane(number, target.label_ids), sampling)
                planes[index, place_of] = coverage.astype(np.float32) / 255
            labelled[index, place_of] = target.is_exhaustive or target.is_shown(row)
    canvases = np.stack([standardise(image) for image in images])
    return TaskBatch(
        torch.from_numpy(canvases), torch.from_numpy(planes), torch.from_numpy(labelled)
    )


def task_loss(
    logits: Float[Tensor, "images classes size size"], batch: TaskBatch
) -> Float[Tensor, ""]:
    """Return the mean of Dice loss + cross-entropy over the labelled (image, class) pairs."""
    flat, target = logits.flatten(0, 1), batch.targets.flatten(0, 1)
    per_pair = dice_loss(flat, target) + cross_entropy(flat, target)
    weight = batch.is_labelled.flatten()
    return (per_pair * weight).sum() / weight.sum().clamp(min=1)


def train_unet(store: SliceStore, targets: Sequence[Target], run: UNetRun) -> UNet:
    """Train a UNet on the `train` slices of the targets' set.

    Raises:
        StoreError: the set has no `train` slice.
    """
    dataset = targets[0].dataset
    rows = train_rows(store, dataset)
    if not rows:
        raise StoreError(
            f"set {dataset!r} has no train slice, so no UNet can be trained on it; choose another"
        )
    config = UNetConfig(classes=len(targets), widths=run.widths)
    model = draw_weights(run.seed, lambda: UNet(config))
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    steps = run.steps
    if steps is None:
        _descend(model, store, rows, targets, run, 1)
        started = time.perf_counter()
        _descend(model, store, rows, targets, run, run.timed_steps)
        per_step = (time.perf_counter() - started) / run.timed_steps
        steps = max(1, round(60 * run.minutes / per_step) - run.timed_steps - 1)
        model.load_state_dict(start)
    _LOG.info(
        "UNet for %s: %d classes, %d slices, %d steps", dataset, len(targets), len(rows), steps
    )
    _descend(model, store, rows, targets, run, steps)
    return model.eval()


def train_rows(store: SliceStore, dataset: str) -> list[int]:
    """Return the `train` rows of a set."""
    return [
        number
        for number, row in enumerate(store.rows)
        if row.dataset == dataset and row.split == "train"
    ]


def _descend(
    model: UNet,
    store: SliceStore,
    rows: Sequence[int],
    targets: Sequence[Target],
    run: UNetRun,
    steps: int,
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=run.peak_rate, weight_decay=run.weight_decay
    )
    model.train()
    for step in range(steps):
        warm = min(1.0, (step + 1) / max(1, steps // 20))
        for group in optimizer.param_groups:
            group["lr"] = run.peak_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        batch = draw_batch(store, rows, targets, run, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.bfloat16):
            logits = model(batch.images)
        loss = task_loss(logits.float(), batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


class UNetBaseline:
    """Trains a UNet when it meets a set for the first time, then segments all its classes."""

    name = "UNet"

    def __init__(self, store: SliceStore, reader: CaseReader, run: UNetRun) -> None:
        self._store = store
        self._reader = reader
        self._run = run
        self._trained: tuple[tuple[Target, ...], UNet] | None = None

    def identity(self) -> Mapping[str, object]:
        """Return the training settings."""
        settings = asdict(self._run)
        plain = {name: settings[name] for name in settings if name not in ("warp", "appearance")}
        return {**plain, "widths": list(self._run.widths), "grid": self._reader.grid}

    def examine(self, number: int, targets: Sequence[Target]) -> list[ResultRow]:
        """Segment a slice; rows are those of the semantic protocol.

        A set without `train` slices has no task that could be learnt: no rows.
        """
        asked = tuple(targets)
        if not asked or not train_rows(self._store, asked[0].dataset):
            return []
        if self._trained is None or self._trained[0] != asked:
            self._trained = asked, train_unet(self._store, asked, self._run)
        image = self._reader.image(number)
        watch = Stopwatch()
        with watch:
            maps = predict(self._trained[1], image, self._run.size)
        seconds = watch.seconds / len(asked)
        return [
            self._row(
                Question(number, target, image, self._reader.truth(number, target)), one, seconds
            )
            for target, one in zip(asked, maps, strict=True)
            if target.is_shown(self._store.rows[number]) or target.is_exhaustive
        ]

    def _row(
        self, question: Question, probability: Float32[np.ndarray, "height width"], seconds: float
    ) -> ResultRow:
        mask = np.asarray(probability >= 0.5)
        is_shown = bool(question.truth.any())
        value = dice(mask, question.truth) if is_shown else float(mask.mean())
        answer = Answer(mask, (value,), presence_score(probability), seconds)
        how = (self.name, SEMANTIC if is_shown else ABSENT)
        return make_row(self._store, question, answer, how=how)


def predict(model: UNet, image: Image, size: int) -> list[Float32[np.ndarray, "_ _"]]:
    """Return the probability of every class on a picture's own grid."""
    plane = image.voxels[0]
    fit = fit_to((int(plane.shape[0]), int(plane.shape[1])), size)
    values = to_eight_bit_range(plane, choose_rule(image).bounds(image))
    canvas = torch.from_numpy(standardise(place(values, fit)))[None]
    with torch.inference_mode():
        found = model(canvas).sigmoid()[0].numpy()
    return [lift(np.ascontiguousarray(one), fit) for one in found]
