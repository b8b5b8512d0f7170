"""One training step of Tyche: of all candidates only the best one learns [Tyche]."""

from __future__ import annotations

from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.randomness import counter_rng
from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.tyche import (
    Candidates,
    Tyche,
    draw_noise,
    mean_candidate,
)
from medprism.objectives.segmentation import request_loss
from medprism.training.config import StepPlan, TrainConfig
from medprism.training.loop import Learner
from medprism.training.optim import make_optimizer
from medprism.training.step import Batch, StepRandomness, StepResult, encode_references, mean_dice


class TycheStep(nn.Module):
    """Segment every request by its references, with noise of this step."""

    def __init__(self, model: Tyche) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, plan: StepPlan, randomness: StepRandomness) -> StepResult:
        """Return the loss of the best candidates; of the plan's rounds one is done."""
        features = self.model.encode(batch.images).select(batch.image_index)
        references = encode_references(self.model, batch)
        numbers = randomness.numbers or tuple(range(len(batch.target)))
        noise = draw_noise(
            [counter_rng(randomness.seed, randomness.step, n, "noise") for n in numbers],
            self.model.num_candidates,
            self.model.config.side,
        )
        found = self.model.candidates(features, Prompts(references=references), noise)
        loss = best_losses(found, batch.target).mean()
        mask = (mean_candidate(found.detach()) >= 0).numpy()
        dice = mean_dice(mask, (batch.target >= 0.5).numpy())
        return StepResult(loss, (float(loss.detach()),), (dice,))


def learn_tyche(model: Tyche, config: TrainConfig) -> Learner:
    """Return the learner of a run of Tyche."""
    return Learner(TycheStep(model), make_optimizer(model, config))


def best_losses(
    candidates: Candidates, target: Float[Tensor, "requests height width"]
) -> Float[Tensor, " requests"]:
    """Return the loss of each request's best candidate: cross-entropy + Dice, as all rivals have.

    The publication has Dice alone. In runs of minutes that can end in empty masks for good: where
    all probabilities are near 0, so is its gradient.

    >>> import torch
    >>> target = torch.tensor([[[1.0, 0.0]]])
    >>> candidates = torch.tensor([[[[-20.0, 20.0]], [[20.0, -20.0]]]])
    >>> round(best_losses(candidates, target).item(), 4)
    0.0
    """
    wanted = repeat(target, "r h w -> (r k) h w", k=candidates.shape[1])
    apart = rearrange(candidates.float(), "r k h w -> (r k) h w")
    losses = request_loss((apart,), wanted, (1.0,))
    return rearrange(losses, "(r k) -> r k", r=len(target)).amin(1)
