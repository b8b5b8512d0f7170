"""The loop of a run on volumes: plain PyTorch, one screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from medprism.core.progress import Progress
from medprism.data.volume_episode import VolumeEpisode
from medprism.training.iris.config import IrisTrainConfig, iris_rate
from medprism.training.iris.lamb import Lamb
from medprism.training.iris.lesson import LearnsVolumes
from medprism.training.loop import (
    STATE_FILE,
    Keeper,
    Log,
    OnBest,
    Schedule,
    Validate,
    refuse_unless_finite,
)
from medprism.training.state import (
    Position,
    average_of,
    load_state,
    save_state,
    update_average,
)

# Takes seed, step and number.
DrawEpisode = Callable[[int, int, int], VolumeEpisode]


@dataclass
class _Meter:
    """Running figures since the last report, by dataset."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float | None) -> None:
        if value is not None:
            self.values.setdefault(name, []).append(value)

    def flush(self) -> dict[str, float]:
        means = {name: sum(v) / len(v) for name, v in sorted(self.values.items())}
        self.values.clear()
        return means


def make_lamb(learner: LearnsVolumes, config: IrisTrainConfig) -> Lamb:
    """Return the optimizer of a run: decay on matrices and kernels only."""
    parameters = list(learner.model.parameters())
    return Lamb(
        [
            {
                "params": [one for one in parameters if one.ndim > 1],
                "weight_decay": config.weight_decay,
            },
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.peak_rate,
        betas=config.betas,
    )


def halves_precision(episode: VolumeEpisode, config: IrisTrainConfig) -> bool:
    """Say whether an episode may be calculated in bfloat16.

    On a CPU, torch 2.13's gradient of 3-D kernels in bfloat16 reads memory that nobody wrote where
    a map is two slices deep, so windows whose deepest map is no deeper take float32.
    """
    return config.bfloat16 and episode.image.shape[0] > 2 * config.episode.multiple


def train_volumes(
    learner: LearnsVolumes,
    draw: DrawEpisode,
    config: IrisTrainConfig,
    folder: Path,
    *,
    schedule: Schedule,
    validate: Validate | None,
    on_best: OnBest | None,
    log: Log,
    progress: Progress,
) -> Position:
    """Train until the last step or until cancelled; go on where `folder` left off.

    Episodes of a step pass one after the other and their gradients are averaged. State, figures
    and the best weights are kept as in `training.loop.train`.

    Raises:
        InternalError: the loss or its gradient is not finite; the saved state stays good.
    """
    model, optimizer = learner.model, make_lamb(learner, config)
    average, position = average_of(model), Position(0, 0.0, None)
    if (folder / STATE_FILE).exists():
        position = load_state(folder / STATE_FILE, config, model, average, optimizer)
    meter, started, before = _Meter(), time.monotonic(), position.seconds
    keeper = Keeper(schedule, validate, on_best, log, list(position.history), position.best)
    model.train()
    for step in range(position.step, config.steps):
        _take_step(learner, optimizer, draw, config, step, meter)
        update_average(average, model, step, config.ema)
        for name, buffer in model.named_buffers():
            # The bank is a running mean itself.
            average[name].copy_(buffer)
        done, seconds = step + 1, before + time.monotonic() - started
        last = done == config.steps or progress.is_cancelled()
        keeper.report(done, seconds, meter, iris_rate(step, config), average, last=last)
        position = Position(done, seconds, keeper.best, tuple(keeper.history))
        if done % schedule.save_every == 0 or last:
            save_state(folder / STATE_FILE, config, position, model, average, optimizer)
        progress.report(done, config.steps, "")
        if last:
            break
    return position


def _take_step(
    learner: LearnsVolumes,
    optimizer: Optimizer,
    draw: DrawEpisode,
    config: IrisTrainConfig,
    step: int,
    meter: _Meter,
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = iris_rate(step, config)
    optimizer.zero_grad(set_to_none=True)
    for number in range(config.episodes):
        episode = draw(config.seed, step, number)
        with torch.autocast("cpu", torch.bfloat16, enabled=halves_precision(episode, config)):
            lesson = learner.study(episode)
        refuse_unless_finite("loss", step, lesson.loss)
        share: Tensor = lesson.loss / config.episodes
        torch.autograd.backward(share)
        meter.add(f"loss/{episode.dataset}", float(lesson.loss.detach()))
        meter.add(f"dice/{episode.dataset}", lesson.dice)
    norm: Tensor = torch.nn.utils.clip_grad_norm_(learner.model.parameters(), config.clip)
    refuse_unless_finite("gradient", step, norm)
    meter.add("gradient", float(norm))
    optimizer.step()
    learner.finish_step()
