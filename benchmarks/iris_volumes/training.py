"""Models that are trained to be measured: for steps or minutes, and gone on with where it stopped.

Minutes are of CPU time, which others on the machine leave alone. What is measured is the running
average of the weights, as Iris ships it (`training.iris.run`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import typer
from torch import Tensor

from benchmarks.training_length import Length
from medprism.core.durable import make_folder, read_json, write_json
from medprism.data.volume_episode import VolumeEpisodes
from medprism.training.initial import draw_weights
from medprism.training.iris.config import IrisTrainConfig
from medprism.training.iris.lesson import LearnsVolumes
from medprism.training.iris.loop import train_volumes
from medprism.training.iris.timing import time_volume_steps
from medprism.training.loop import STATE_FILE, Schedule
from medprism.training.state import read_average, read_document

FORMAT: Final = "medprism-bench-training"
VERSION: Final = 1
PLAN: Final = "plan.json"
SAVE_EVERY: Final = 50
LOG_EVERY: Final = 50

MakeLearner = Callable[[], LearnsVolumes]


@dataclass(frozen=True, eq=False)
class Trained:
    """The averaged weights of a training, and how many steps it took."""

    weights: dict[str, Tensor]
    steps: int


@dataclass
class Watch:
    """A log and progress that shows losses and counts steps."""

    steps: int = 0

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Show the figures."""
        shown = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        typer.echo(f"step {step}: {shown}", err=True)

    def report(self, done: int, total: int, message: str = "") -> None:
        """Count a step."""
        self.steps += 1

    def is_cancelled(self) -> bool:
        """Return False."""
        return False


def plan_steps(
    make: MakeLearner,
    episodes: VolumeEpisodes,
    config: IrisTrainConfig,
    length: Length,
    folder: Path,
) -> int:
    """Return the steps of a training; minutes become steps once, by timing the first ones.

    The plan is kept in `folder`, where it stays the same when the training goes on.

    Raises:
        BadParameter: the folder's training was planned with another length or other settings.
    """
    make_folder(folder)
    asked = {**length.to_json(), "preset": config.preset, "seed": config.seed}
    if (folder / PLAN).exists():
        plan = read_json(folder / PLAN, FORMAT, VERSION)
        if plan["asked"] != asked:
            raise typer.BadParameter(
                f"{folder} holds a training of {plan['asked']}, not {asked}; choose another folder"
            )
        return int(plan["steps"])
    steps = length.steps
    if steps is None:
        clock = time.process_time
        started, learner = clock(), draw_weights(config.seed, make)
        seconds = time_volume_steps(learner, episodes.draw, config, clock)
        left = 60 * (length.minutes or 0.0) - (clock() - started)
        steps = max(1, int(left / seconds))
    write_json(folder / PLAN, FORMAT, VERSION, {"asked": asked, "steps": steps})
    return steps


def train(
    make: MakeLearner,
    episodes: VolumeEpisodes,
    config: IrisTrainConfig,
    length: Length,
    folder: Path,
) -> Trained:
    """Train for steps or minutes, or go on with the training that `folder` holds.

    Raises:
        BadParameter: see `plan_steps`.
        InternalError: the loss is not finite.
    """
    chosen = replace(config, steps=plan_steps(make, episodes, config, length, folder))
    state, watch = folder / STATE_FILE, Watch()
    train_volumes(
        draw_weights(config.seed, make),
        episodes.draw,
        chosen,
        folder,
        schedule=Schedule(save_every=SAVE_EVERY, log_every=LOG_EVERY),
        validate=None,
        on_best=None,
        log=watch,
        progress=watch,
    )
    return Trained(read_average(state), int(read_document(state)["step"]))
