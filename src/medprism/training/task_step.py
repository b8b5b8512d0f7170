"""One training step of TP-Seg: the loss of a batch, and what its masks say about the prototypes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from medprism.core.errors import InternalError
from medprism.models.tpseg.model import TPSeg, task_rows
from medprism.objectives.structure import WINDOW, structure_loss
from medprism.training.config import PhaseConfig, StepPlan, TrainConfig
from medprism.training.loop import Learner
from medprism.training.optim import make_optimizer
from medprism.training.step import Batch, StepRandomness, StepResult, mean_dice

# The side of the paper's images, for which the window of its loss was chosen.
PAPER_SIZE = 512


class TaskStep(nn.Module):
    """Segment every request by its task; the trunk learns in the first steps, adapters after it."""

    def __init__(self, model: TPSeg, phases: PhaseConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        self.phases = phases
        self.joint_steps = round(phases.joint_share * steps)

    def forward(self, batch: Batch, plan: StepPlan, randomness: StepRandomness) -> StepResult:
        """Return the loss over the four outputs, and what the masks say about the prototypes."""
        self._open(randomness.step)
        image = batch.images.index_select(0, batch.image_index)
        answer = self.model(image, batch.concept)
        outputs = tuple(one.float() for one in (answer.logits, *answer.steps))
        window = border_window(batch.target.shape[2])
        per_request = structure_loss(outputs, batch.target, window)
        tallies = self.model.tally(answer, batch.concept, batch.target)
        loss = per_request.mean()
        found = (outputs[0].detach() >= 0).numpy()
        dice = mean_dice(found, (batch.target >= 0.5).numpy())
        return StepResult(loss, (float(loss.detach()),), (dice,), tallies)

    def _open(self, step: int) -> None:
        """Let learn what learns in this phase; the step alone decides, as a resumed run needs."""
        if self.phases.kept_rows:
            return
        is_joint = step < self.joint_steps
        self.model.trunk.requires_grad_(is_joint)
        self.model.adapters.requires_grad_(not is_joint)


def learn_tasks(model: TPSeg, config: TrainConfig) -> Learner:
    """Return the learner of a run of TP-Seg: in two phases, or of the rows of added tasks alone.

    Raises:
        InternalError: settings without phases.
    """
    phases = config.phases
    if phases is None:
        raise InternalError(f"recipe of {config.preset} has no phases; it cannot teach TP-Seg")
    # What an earlier run froze would be missing in the optimizer.
    model.requires_grad_(True)
    if phases.kept_rows:
        keep_rows(model, phases.kept_rows)
        # Decay would move rows that have no gradient.
        config = replace(config, weight_decay=0.0)
    step = TaskStep(model, phases, config.steps)
    return Learner(step, make_optimizer(model, config), take_in=model.take_in)


def keep_rows(model: TPSeg, kept: int) -> None:
    """Freeze everything but the rows of tasks from number `kept` on."""
    rows = task_rows(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in rows)
        if name in rows:
            learns = torch.arange(len(parameter)) >= kept
            shape = (-1, *(1,) * (parameter.ndim - 1))
            hook = partial(_mask_gradient, learns.reshape(shape))
            parameter.register_hook(hook)  # type: ignore[no-untyped-call]


def border_window(size: int) -> int:
    """Return the window of the loss for a canvas: 31 pixels of 512, odd and at least 3.

    >>> border_window(512), border_window(256), border_window(64)
    (31, 17, 5)
    """
    return max(3, round(WINDOW * size / PAPER_SIZE) // 2 * 2 + 1)


def _mask_gradient(learns: Tensor, gradient: Tensor) -> Tensor:
    return torch.where(learns, gradient, torch.zeros_like(gradient))
