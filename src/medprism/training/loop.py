"""The training loop: plain PyTorch, one screen."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from medprism.core.errors import ConfigError, InternalError
from medprism.core.progress import Progress
from medprism.models.blocks.prototypes import BankTally
from medprism.models.checkpoint import hash_tensors
from medprism.models.kprism.model import KPrism
from medprism.training.batches import DrawsEpisodes, iterate_batches
from medprism.training.config import StepPlan, TrainConfig
from medprism.training.distributed import Alone, Replicas, share_of
from medprism.training.memory_settings import MemorySettings
from medprism.training.optim import learning_rate, make_optimizer, set_rate
from medprism.training.pretrained import freeze_trunk
from medprism.training.recompute import recompute_blocks
from medprism.training.shared_norm import has_batch_norm
from medprism.training.state import (
    Position,
    RunSettings,
    average_of,
    load_state,
    save_state,
    update_average,
)
from medprism.training.step import Batch, StepRandomness, StepResult, TrainingStep

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
    `take_in` moves a memory by what the whole batch said about it.
    """

    step: nn.Module
    optimizer: AdamW
    running_means: tuple[str, ...] = ()
    take_in: Callable[[tuple[BankTally, ...]], None] | None = None


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

    def add(
        self, plan: StepPlan, losses: Sequence[float], dices: Sequence[float], norm: float
    ) -> None:
        self.values.setdefault(f"loss/{plan.name}", []).append(losses[0])
        self.values.setdefault(f"dice/{plan.name}", []).append(dices[0])
        if len(dices) > 1:
            self.values.setdefault(f"dice/{plan.name}-last", []).append(dices[-1])
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
    memory: MemorySettings | None = None,
) -> Position:
    """Train until the last step or until cancelled; go on where `folder` left off.

    The state is saved every `save_every` steps and at the end, so that a killed run repeats the
    same batches and reaches the same weights. With several `replicas` each process calls this
    alike; figures are those of the whole batch, and the first process validates, logs and saves.
    `memory` and the number of processes may be others when a run goes on.

    Raises:
        InternalError: the loss or its gradient is not finite; the saved state stays good.
        LostProcessError: another process has ended; likewise.
        ConfigError: processes that do not begin alike, or more shares than a batch has images.
    """
    group, saving = replicas or Alone(), memory or MemorySettings()
    group.prepare(model)
    saving_memory(model, saving)
    learner = make_learner(model, config)
    optimizer = learner.optimizer
    average = average_of(model)
    position = Position(0, 0.0, None)
    if (folder / STATE_FILE).exists():
        position = load_state(folder / STATE_FILE, config, model, average, optimizer)
    agree_on_start(group, config, position, model)
    meter, started, before = _Meter(), time.monotonic(), position.seconds
    keeper = Keeper(schedule, validate, on_best, log, list(position.history), position.best)
    model.train()
    own = (group.rank, group.count)
    for step, batch, plan in iterate_batches(sampler, config, position.step, own):
        rate = learning_rate(step, config)
        set_rate(optimizer, rate)
        said = _study(learner, batch, plan, config, step, group, saving)
        figures, stop = group.combine(model, said.figures, stop=progress.is_cancelled())
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        refuse_unless_finite("gradient", step, norm)
        if learner.take_in is not None:
            learner.take_in(group.add_up(said.tallies))
        optimizer.step()
        update_average(average, model, step, config.ema)
        for name in learner.running_means:
            average[name].copy_(model.get_buffer(name))
        losses, dices = figures[: len(figures) // 2], figures[len(figures) // 2 :]
        meter.add(plan, losses, dices, float(norm))
        done, seconds = step + 1, before + time.monotonic() - started
        last = done == config.steps or stop
        if group.rank == 0:
            keeper.report(done, seconds, meter, rate, average, last=last)
        position = Position(done, seconds, keeper.best, tuple(keeper.history))
        if group.rank == 0 and (done % schedule.save_every == 0 or last):
            save_state(folder / STATE_FILE, config, position, model, average, optimizer)
        progress.report(done, config.steps, f"{plan.name} {losses[0]:.3f}")
        if last:
            break
    return position


@dataclass(frozen=True, eq=False)
class _Said:
    """What this process's shares of a batch came to: losses and Dice of the rounds, and tallies.

    Figures count by the part of the requests they stand for, so that all processes' add up to
    those of the batch.
    """

    figures: tuple[float, ...]
    tallies: tuple[BankTally, ...]

    def __add__(self, other: _Said) -> _Said:
        figures = zip(self.figures, other.figures, strict=True)
        tallies = zip(self.tallies, other.tallies, strict=True)
        return _Said(
            tuple(one + more for one, more in figures),
            tuple(BankTally(a.total + b.total, a.number + b.number) for a, b in tallies),
        )


def _study(
    learner: Learner,
    batch: Batch,
    plan: StepPlan,
    config: TrainConfig,
    step: int,
    group: Replicas,
    saving: MemorySettings,
) -> _Said:
    """Add up the gradients of this process's shares of a batch, one share after the other."""
    shares = group.count * saving.accumulate
    whole = StepRandomness(config.seed, step)
    total: _Said | None = None
    learner.optimizer.zero_grad(set_to_none=True)
    for number in range(group.rank, shares, group.count):
        part, randomness, weight = share_of(batch, whole, number, shares)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            result: StepResult = learner.step(part, plan, randomness)
        refuse_unless_finite("loss", step, result.loss)
        torch.autograd.backward(result.loss * weight)
        figures = tuple(weight * one for one in (*result.round_losses, *result.round_dice))
        said = _Said(figures, result.tallies)
        total = said if total is None else total + said
    if total is None:
        raise InternalError(f"process {group.rank} of {group.count} has no share of a batch")
    return total


def saving_memory(model: nn.Module, saving: MemorySettings) -> None:
    """Let a model's blocks forget, where that is asked for.

    Raises:
        ConfigError: parts of a batch for a model that normalises by the whole batch.
    """
    if saving.accumulate > 1 and has_batch_norm(model):
        raise ConfigError(
            f"--accumulate {saving.accumulate} cuts a batch into parts, and this model normalises "
            "by the statistics of the whole batch; use --recompute or more processes instead"
        )
    if saving.recompute:
        recompute_blocks(model)


def agree_on_start(
    group: Replicas, config: RunSettings, position: Position, model: nn.Module
) -> None:
    """Refuse to train unless all processes begin with the same settings, step and weights.

    Raises:
        ConfigError: they do not, as where each machine has a run folder of its own.
    """
    if group.count > 1:
        settings = json.dumps(config.to_json(), sort_keys=True)
        group.agree(f"{settings} {position.step} {hash_tensors(model.state_dict())}")


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
