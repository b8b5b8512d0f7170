"""The loop of a run on volumes: plain PyTorch, one screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from medprism.core.errors import ConfigError
from medprism.core.progress import Progress
from medprism.data.volume_episode import VolumeEpisode
from medprism.training.distributed import Alone, Replicas
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
    agree_on_start,
    refuse_unless_finite,
)
from medprism.training.recompute import recompute_blocks
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
    replicas: Replicas | None = None,
    recompute: bool = False,
) -> Position:
    """Train until the last step or until cancelled; go on where `folder` left off.

    Episodes of a step pass one after the other and their gradients are averaged; several `replicas`
    share them, and draw their own only. With `recompute` blocks forget what they computed until it
    is needed (see `training.recompute`). State, figures and the best weights are kept as in
    `training.loop.train`.

    Raises:
        InternalError: the loss or its gradient is not finite; the saved state stays good.
        LostProcessError: another process has ended; likewise.
        ConfigError: more processes than episodes in a step, or ones that do not begin alike.
    """
    group, model = replicas or Alone(), learner.model
    if group.count > config.episodes:
        raise ConfigError(
            f"a step of {config.episodes} episodes cannot feed {group.count} processes; use fewer"
        )
    if recompute:
        recompute_blocks(model)
    optimizer = make_lamb(learner, config)
    average, position = average_of(model), Position(0, 0.0, None)
    if (folder / STATE_FILE).exists():
        position = load_state(folder / STATE_FILE, config, model, average, optimizer)
    agree_on_start(group, config, position, model)
    meter, started, before = _Meter(), time.monotonic(), position.seconds
    keeper = Keeper(schedule, validate, on_best, log, list(position.history), position.best)
    model.train()
    for step in range(position.step, config.steps):
        stop = _take_step(
            learner, optimizer, draw, config, step, meter=meter, group=group, progress=progress
        )
        update_average(average, model, step, config.ema)
        for name, buffer in model.named_buffers():
            # The bank is a running mean itself.
            average[name].copy_(buffer)
        done, seconds = step + 1, before + time.monotonic() - started
        last = done == config.steps or stop
        if group.rank == 0:
            keeper.report(done, seconds, meter, iris_rate(step, config), average, last=last)
        position = Position(done, seconds, keeper.best, tuple(keeper.history))
        if group.rank == 0 and (done % schedule.save_every == 0 or last):
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
    *,
    meter: _Meter,
    group: Replicas,
    progress: Progress,
) -> bool:
    """Learn from the episodes of a step; say whether any process wants to stop."""
    for part in optimizer.param_groups:
        part["lr"] = iris_rate(step, config)
    optimizer.zero_grad(set_to_none=True)
    found: list[tuple[int, str, float, float | None]] = []
    for number in range(group.rank, config.episodes, group.count):
        episode = draw(config.seed, step, number)
        with torch.autocast("cpu", torch.bfloat16, enabled=halves_precision(episode, config)):
            lesson = learner.study(episode)
        refuse_unless_finite("loss", step, lesson.loss)
        share: Tensor = lesson.loss / config.episodes
        torch.autograd.backward(share)
        found.append((number, episode.dataset, float(lesson.loss.detach()), lesson.dice))
    _, stop = group.combine(learner.model, (), stop=progress.is_cancelled())
    for _, dataset, loss, dice in sorted(group.gather(found)):
        meter.add(f"loss/{dataset}", loss)
        meter.add(f"dice/{dataset}", dice)
    norm: Tensor = torch.nn.utils.clip_grad_norm_(learner.model.parameters(), config.clip)
    refuse_unless_finite("gradient", step, norm)
    meter.add("gradient", float(norm))
    optimizer.step()
    learner.finish_step()
    return stop
