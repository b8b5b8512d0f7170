"""A run of iris-nano on phantoms, small enough to be repeated within a test."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from medprism.data.diet import table_of
from medprism.data.volume_episode import VolumeEpisodeConfig, VolumeEpisodes
from medprism.models.iris.config import iris_nano
from medprism.models.iris.model import Iris
from medprism.training.iris.config import IrisTrainConfig
from medprism.training.iris.lesson import IrisLearner
from medprism.training.iris.loop import train_volumes
from medprism.training.loop import Schedule, Validate
from medprism.training.state import Position
from tests.data.volume_phantoms import phantom_set
from tests.training.runs import Notes


def nano_config(steps: int, **changes: object) -> IrisTrainConfig:
    episode = VolumeEpisodeConfig(side=32, most_classes=2)
    config = IrisTrainConfig(
        preset="iris-nano", steps=steps, episodes=2, bfloat16=False, episode=episode
    )
    return replace(config, **changes)  # type: ignore[arg-type]


@cache
def nano_episodes(count: int = 6, split: str = "train") -> VolumeEpisodes:
    sets = [phantom_set(count)]
    concepts, _ = table_of([sets[0].info])
    return VolumeEpisodes(sets, concepts, nano_config(1).episode, split)


def make_learner(config: IrisTrainConfig) -> IrisLearner:
    torch.manual_seed(config.seed)
    return IrisLearner(Iris(replace(iris_nano(2), bank_momentum=config.bank_momentum)))


def train_nano(
    config: IrisTrainConfig,
    folder: Path,
    notes: Notes,
    *,
    learner: IrisLearner | None = None,
    schedule: Schedule | None = None,
    validate: Validate | None = None,
    episodes: VolumeEpisodes | None = None,
) -> tuple[Position, IrisLearner]:
    learner = learner or make_learner(config)
    position = train_volumes(
        learner,
        (episodes or nano_episodes()).draw,
        config,
        folder,
        schedule=schedule or Schedule(log_every=1),
        validate=validate,
        on_best=None,
        log=notes,
        progress=notes,
    )
    return position, learner
