"""The training loop: plain PyTorch, one screen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from medprism.core.errors import InternalError
from medprism.core.progress import Progress
from medprism.models.kprism.model import KPrism
from medprism.training.batches import DrawsEpisodes, iterate_batches
from medprism.training.config import StepPlan, TrainConfig
from medprism.training.distributed import Alone, Replicas, share_of
from medprism.training.optim import learning_rate, make_optimizer, set_rate
from medprism.training.pretrained import freeze_trunk
from medprism.training.state import (
    Position,
    average_of,
    load_state,
    save_state,
    update_average,
)
from medprism.training.step import StepRandomness, StepResult, TrainingStep

STATE_FILE = "state.safetensors"

# Returns figures of the averaged weights; "score" (higher is better) chooses the best.
Validate = Callable[[dict[str, Tensor]], dict[str, float]]
# Takes the best averaged weights so far with their figures.
OnBest = Callable[[dict[str, Tensor], dict[str, float]], None]


@runtime_checkable
class Log(Protocol):
    """Where figures of a run go."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write named figures of a step."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How often, in steps, the state is saved and the averaged weights are validated."""

    save_every: int = 200
    validate_every: int = 0
    log_every: int = 20


@dataclass(frozen=True, eq=False)
class Learner:
    """How a model learns: what turns a batch into a loss, and what changes the weights.

    `step` takes a batch, its plan and its randomness and returns a `StepResult`. `running_means`
    names buffers that are averages over steps already: the averaged weights hold them as they are.
    """

    step: nn.Module
    optimizer: AdamW
    running_means: tuple[str, ...] = ()


# Takes the model of a run; a run that goes on gets the same learner again.
MakeLearner = Callable[[Any, TrainConfig], Learner]


def learn_everything(model: KPrism, config: TrainConfig) -> Learner:
    """Return the learner of a whole run: every weight but the frozen part of a pretrained trunk."""
    freeze_trunk(model, config.pretrained)
    step = TrainingStep(model, config.output_weights, config.later_weight)
    return Learner(step, make_optimizer(model, config))


@dataclass
class _Meter:
    """Running figures since the last report."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, plan: StepPlan, result: StepResult, norm: float) -> None:
        self.values.setdefault(f"loss/{plan.name}", []).append(result.round_losses[0])
        self.values.setdefault(f"dice/{plan.name}", []).append(result.round_dice[0])
        if len(result.round_dice) > 1:
            self.values.setdefault(f"dice/{plan.name}-last", []).append(result.round_dice[-1])
        self.values.setdefault("gradient", []).append(norm)

    def flush(self) -> dict[str, float]:
        means = {name: sum(v) / len(v) for name, v in sorted(self.values.items())}
        self.values.clear()
        return means


def train(
    model: nn.Module,
    sampler: DrawsEpisodes,
    config: TrainConfig,
    folder: Path,
    *,
    schedule: Schedule,
    validate: Validate | None,
    on_best: OnBest | None,
    log: Log,
    progress: Progress,
    replicas: Replicas | None = None,
    make_learner: MakeLearner = learn_everything,
) -> Position:
    """Train until the last step or until cancelled; go on where `folder` left off.

    The state is saved every `save_every` steps and at the end, so that a killed run repeats the
    same batches and reaches the same weights. With several `replicas` each process calls this
    alike; the first one validates, logs and saves.

    Raises:
        InternalError: the loss or its gradient is not finite; the saved state stays good.
    """
    learner = make_learner(model, config)
    step_module, optimizer = learner.step, learner.optimizer
    average = average_of(model)
    position = Position(0, 0.0, None)
    if (folder / STATE_FILE).exists():
        position = load_state(folder / STATE_FILE, config, model, average, optimizer)
    group = replicas or Alone()
    meter, started, before = _Meter(), time.monotonic(), position.seconds
    keeper = Keeper(schedule, validate, on_best, log, list(position.history), position.best)
    model.train()
    for step, batch, plan in iterate_batches(sampler, config, position.step):
        rate = learning_rate(step, config)
        set_rate(optimizer, rate)
        randomness = StepRandomness(config.seed, step)
        part, randomness, weight = share_of(batch, randomness, group.rank, group.count)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            result = step_module(part, plan, randomness)
        refuse_unless_finite("loss", step, result.loss)
        optimizer.zero_grad(set_to_none=True)
        (result.loss * weight).backward()
        stop = group.combine(model, stop=progress.is_cancelled())
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        refuse_unless_finite("gradient", step, norm)
        optimizer.step()
        update_average(average, model, step, config.ema)
        for name in learner.running_means:
            average[name].copy_(model.get_buffer(name))
        meter.add(plan, result, float(norm))
        done, seconds = step + 1, before + time.monotonic() - started
        last = done == config.steps or stop
        if group.rank == 0:
            keeper.report(done, seconds, meter, rate, average, last=last)
        position = Position(done, seconds, keeper.best, tuple(keeper.history))
        if group.rank == 0 and (done % schedule.save_every == 0 or last):
            save_state(folder / STATE_FILE, config, position, model, average, optimizer)
        progress.report(done, config.steps, f"{plan.name} {result.round_losses[0]:.3f}")
        if last:
            break
    return position


@runtime_checkable
class HasFigures(Protocol):
    """Running figures since they were last taken."""

    def flush(self) -> dict[str, float]:
        """Return their means and begin anew."""


@dataclass
class Keeper:
    """What is written down while a run goes on: figures, validations, the best weights."""

    schedule: Schedule
    validate: Validate | None
    on_best: OnBest | None
    log: Log
    history: list[dict[str, Any]]
    best: float | None

    def report(
        self,
        done: int,
        seconds: float,
        meter: HasFigures,
        rate: float,
        average: dict[str, Tensor],
        *,
        last: bool,
    ) -> None:
        """Log every `log_every` steps, validate every `validate_every`, both at the end."""
        if done % self.schedule.log_every == 0 or last:
            self.log.scalars(done, {**meter.flush(), "rate": rate})
        every = self.schedule.validate_every
        if self.validate is None or not every or not (done % every == 0 or last):
            return
        figures = self.validate(average)
        self.log.scalars(done, {f"val/{name}": value for name, value in figures.items()})
        self.history.append({"step": done, "seconds": seconds, **figures})
        if self.on_best and (self.best is None or figures["score"] > self.best):
            self.best = figures["score"]
            self.on_best(average, figures)


def refuse_unless_finite(what: str, step: int, value: Tensor) -> None:
    """Stop a run whose numbers have gone astray.

    Raises:
        InternalError: the value is infinite or not a number.
    """
    number = float(value.detach())
    if not math.isfinite(number):
        raise InternalError(f"{what} of step {step} is {number}; see the run's log")
