"""A real run whose steps cost nothing: everything is read, drawn, moved and written as always."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from medprism.training.config import TrainConfig
from medprism.training.figures import JsonLines, Together
from medprism.training.loop import Learner
from medprism.training.optim import make_optimizer
from medprism.training.run import Run
from medprism.training.step import StepResult

STEPS: Final = 2


class _Quick(nn.Module):
    """Draws all weights towards the mean brightness of the batch, without looking at shapes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: object, plan: object, randomness: object) -> StepResult:
        goal = _mean(batch)
        parts = [(one - goal).square().mean() for one in self.model.parameters()]
        loss = torch.stack(parts).mean()
        return StepResult(loss, (float(loss.detach()),), (0.5,))


def _mean(batch: object) -> float:
    tensors = [one for one in vars(batch).values() if isinstance(one, Tensor)]
    return float(tensors[0].float().mean())


def _learn_quickly(model: nn.Module, config: TrainConfig) -> Learner:
    return Learner(_Quick(model), make_optimizer(model, config))


class _Stopping:
    """Progress that stops after some steps."""

    def __init__(self, after: int | None) -> None:
        self._left = after

    def report(self, done: int, total: int, message: str = "") -> None:
        """Show nothing."""

    def is_cancelled(self) -> bool:
        """Return True at the last step that is wanted."""
        if self._left is None:
            return False
        self._left -= 1
        return self._left <= 0


def train_quickly(run: Run, *, stop_after: int | None) -> None:
    """Train to the end, or some steps; the state is saved and validated at every step."""
    run.course = replace(run.course, make_learner=_learn_quickly)
    schedule = replace(run.record.schedule, save_every=1, validate_every=1, log_every=1)
    run.record = replace(run.record, schedule=schedule)
    log = Together([JsonLines(run.folder / "log.jsonl")])

    def validate(weights: dict[str, Tensor]) -> dict[str, float]:
        return {"score": -sum(float(one.float().abs().mean()) for one in weights.values())}

    run.train(validate, log, _Stopping(stop_after))
