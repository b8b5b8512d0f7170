"""How the models of an architecture are taught: what a run folder must know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from medprism.data.diet import choose_diet
from medprism.data.episode import EpisodeConfig, EpisodeSampler
from medprism.data.store import SliceStore
from medprism.models.catalog import PRESETS, SLICE_IRIS_PRESETS
from medprism.models.checkpoint import Checkpoint, load_checkpoint
from medprism.models.iris.slices import SliceIris
from medprism.models.kprism.model import KPrism
from medprism.models.tpseg.model import TPSeg, task_rows
from medprism.training.config import TrainConfig
from medprism.training.external_trunk import (
    choose_trunk,
    describe_trunk,
    load_external,
    task_settings,
)
from medprism.training.initial import begin_with, draw_weights
from medprism.training.iris.slice_step import BANK_ROWS, learn_slices
from medprism.training.loop import MakeLearner, learn_everything
from medprism.training.pretrained import start_trunk
from medprism.training.run_order import RunOrder
from medprism.training.run_record import RunRecord
from medprism.training.shipping import weights_licence
from medprism.training.task_step import learn_tasks
from medprism.training.task_table import TaskChoice, choose_added, choose_tasks, describe_tasks


@dataclass(frozen=True)
class Course:
    """What differs between architectures in a run.

    `choose` takes the store, the order and the checkpoint to begin with; it returns what is
    learned, and the settings that follow from it. `describe` adds to the card of a checkpoint.
    """

    choose: Callable[
        [SliceStore, RunOrder, Checkpoint | None, TrainConfig], tuple[TaskChoice, TrainConfig]
    ]
    episodes: Callable[[RunRecord], EpisodeConfig]
    build: Callable[[RunRecord, Checkpoint | None], nn.Module]
    make_learner: MakeLearner
    describe: Callable[[RunRecord, SliceStore], dict[str, Any]]


def course_of(config: TrainConfig) -> Course:
    """Return how the model of a recipe is taught."""
    if config.preset in SLICE_IRIS_PRESETS:
        return EXAMPLES
    return CLASSES if config.phases is None else TASKS


def make_sampler(record: RunRecord, store: SliceStore) -> EpisodeSampler:
    """Return what draws the episodes of a run from its store."""
    config = course_of(record.config).episodes(record)
    return EpisodeSampler(store, record.concepts, "train", config, partial=record.partial)


def _choose_classes(
    store: SliceStore, order: RunOrder, checkpoint: Checkpoint | None, config: TrainConfig
) -> tuple[TaskChoice, TrainConfig]:
    start = None if checkpoint is None else checkpoint.info.concepts
    diet = choose_diet(store, order.licences, start)
    sets = tuple(info.name for info in diet.infos)
    return TaskChoice(diet.concepts, diet.partial, sets), config


def _choose_tasks(
    store: SliceStore, order: RunOrder, checkpoint: Checkpoint | None, config: TrainConfig
) -> tuple[TaskChoice, TrainConfig]:
    config = choose_trunk(order.trunk, checkpoint, config)
    start = None if checkpoint is None else checkpoint.info.concepts
    diet = choose_diet(store, order.licences, start)
    if start is None or config.phases is None or not order.added:
        return choose_tasks(diet, order.tasks, start), config
    phases = replace(config.phases, kept_rows=len(start))
    return choose_added(diet, order.added, start), replace(config, phases=phases)


def _build_classes(record: RunRecord, checkpoint: Checkpoint | None) -> KPrism:
    preset = PRESETS[record.config.preset]
    classes = len(record.concepts)
    model = draw_weights(record.config.seed, lambda: KPrism(preset.config(classes)))
    if checkpoint is None:
        start_trunk(model, record.config.pretrained)
    else:
        begin_with(model, checkpoint)
    return model


def _build_tasks(record: RunRecord, checkpoint: Checkpoint | None) -> TPSeg:
    config = record.config
    settings = task_settings(config, len(record.concepts))
    model = draw_weights(config.seed, lambda: TPSeg(settings))
    if record.trunk is not None and config.trunk is not None:
        load_external(model.trunk, Path(record.trunk), config.trunk)
    if checkpoint is not None:
        begin_with(model, checkpoint, task_rows(model))
    return model


def _build_slices(record: RunRecord, checkpoint: Checkpoint | None) -> SliceIris:
    preset = SLICE_IRIS_PRESETS[record.config.preset]
    classes = len(record.concepts)
    model = draw_weights(record.config.seed, lambda: SliceIris(preset.config(classes)))
    if checkpoint is not None:
        begin_with(model, checkpoint, BANK_ROWS)
    return model


def _class_episodes(record: RunRecord) -> EpisodeConfig:
    return EpisodeConfig(synthetic=record.synthetic, task_change=record.task_change)


def _task_episodes(record: RunRecord) -> EpisodeConfig:
    """Return episodes in which all tasks are drawn alike, whatever they have in images."""
    return EpisodeConfig(requests_per_image=1, dataset_first=0.0, class_exponent=0.0)


def _describe_nothing(record: RunRecord, store: SliceStore) -> dict[str, Any]:
    return {}


def _describe_tasks(record: RunRecord, store: SliceStore) -> dict[str, Any]:
    """Return the tasks, and what the weights that the run began with were made of."""
    origin, licence = record.config.trunk, weights_licence(store.infos.values())
    card: dict[str, Any] = {} if origin is None else {"trunk": describe_trunk(origin)}
    if record.start is None:
        card["tasks"] = describe_tasks(store, record.concepts, record.partial)
        if origin is not None:
            card["licence"] = f"{licence}; the trunk's: {card['trunk']['licence']}"
        return card
    parent = load_checkpoint(Path(record.start))
    former, sets = parent.info.card, list(parent.info.training.get("sets", ()))
    before, old = former.get("tasks", ()), former.get("licence", "no licence stated")
    return {
        **card,
        "tasks": describe_tasks(store, record.concepts, record.partial, before),
        "licence": f"{licence}; began with weights under: {old}",
        "parent": {"name": parent.info.name, "hash": parent.weights_hash, "sets": sets},
    }


CLASSES = Course(
    _choose_classes, _class_episodes, _build_classes, learn_everything, _describe_nothing
)
EXAMPLES = Course(_choose_classes, _class_episodes, _build_slices, learn_slices, _describe_nothing)
TASKS = Course(_choose_tasks, _task_episodes, _build_tasks, learn_tasks, _describe_tasks)
