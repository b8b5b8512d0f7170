"""One training step of Iris on slices: the loss of a batch, and what its references say."""

from __future__ import annotations

from typing import Final

from torch import nn

from medprism.models.blocks.prototypes import BankTally
from medprism.models.iris.slices import SliceIris
from medprism.models.iris.tuning import class_losses
from medprism.models.segmenter import Prompts, canvas_logits
from medprism.training.config import StepPlan, TrainConfig
from medprism.training.loop import Learner
from medprism.training.optim import make_optimizer
from medprism.training.step import Batch, StepRandomness, StepResult, encode_references, mean_dice

# The tensors that have one row a class.
BANK_ROWS: Final = ("iris.bank.content", "iris.bank.count")


class SliceStep(nn.Module):
    """Segment every request by its reference [Iris, Alg. 1], which says something to the bank."""

    def __init__(self, model: SliceIris) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, plan: StepPlan, randomness: StepRandomness) -> StepResult:
        """Return cross-entropy + Dice, the mean over requests; of the plan's rounds one is done."""
        features = self.model.encode(batch.images).select(batch.image_index)
        references = encode_references(self.model, batch)
        decoded = self.model.decode(features, Prompts(references=references))
        logits = canvas_logits(decoded, (batch.target.shape[1], batch.target.shape[2]))
        loss = class_losses(logits[:, None], batch.target[:, None]).mean()
        tally = self.model.tally(batch.concept, references)
        dice = mean_dice(logits.detach().numpy() >= 0, batch.target.numpy() >= 0.5)
        return StepResult(loss, (float(loss.detach()),), (dice,), (tally,))


def learn_slices(model: SliceIris, config: TrainConfig) -> Learner:
    """Return the learner of a run of Iris on slices.

    The optimizer is that of all models of slices, not the paper's Lamb: there the batches are
    alike, and so models that are compared differ in nothing else.
    """

    def take_in(tallies: tuple[BankTally, ...]) -> None:
        (tally,) = tallies
        model.take_in(tally)

    return Learner(SliceStep(model), make_optimizer(model, config), BANK_ROWS, take_in)
