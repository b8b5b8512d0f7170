"""How each method learns: the same batches and the same loss for all."""

from __future__ import annotations

from torch import nn

from medprism.models.tpseg.model import TPSeg
from medprism.models.zoo.sam2unet import SAM2UNet
from medprism.models.zoo.spider import Spider
from medprism.objectives.structure import structure_loss
from medprism.training.config import PhaseConfig, StepPlan, TrainConfig
from medprism.training.loop import Learner
from medprism.training.optim import make_optimizer
from medprism.training.step import Batch, StepRandomness, StepResult, mean_dice
from medprism.training.task_step import border_window, learn_tasks


class RivalStep(nn.Module):
    """TP-Seg's step for models without its prototypes.

    Where there are adapters, they learn after the trunk, as TP-Seg's do (`PhaseConfig`).
    """

    def __init__(self, model: nn.Module, phases: PhaseConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        self.joint_steps = round(phases.joint_share * steps)

    def forward(self, batch: Batch, plan: StepPlan, randomness: StepRandomness) -> StepResult:
        """Return the loss over all outputs; let the masks move what no gradient moves."""
        if isinstance(self.model, SAM2UNet):
            is_joint = randomness.step < self.joint_steps
            self.model.trunk.requires_grad_(is_joint)
            self.model.adapters.requires_grad_(not is_joint)
        answer = self.model(batch.images.index_select(0, batch.image_index), batch.concept)
        outputs = tuple(one.float() for one in (answer.logits, *answer.steps))
        loss = structure_loss(outputs, batch.target, border_window(batch.target.shape[2])).mean()
        if isinstance(self.model, Spider):
            self.model.remember(answer, batch.concept, batch.target)
        found = (outputs[0].detach() >= 0).numpy()
        dice = mean_dice(found, (batch.target >= 0.5).numpy())
        return StepResult(loss, (float(loss.detach()),), (dice,))


def make_learner(model: nn.Module, config: TrainConfig) -> Learner:
    """Return the learner of any method."""
    if isinstance(model, TPSeg):
        return learn_tasks(model, config)
    phases = config.phases or PhaseConfig()
    return Learner(RivalStep(model, phases, config.steps), make_optimizer(model, config))
