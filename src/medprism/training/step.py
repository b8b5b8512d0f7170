"""One training step as one module call: all rounds of a batch, one loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from medprism.core.preprocess import Fit
from medprism.core.prompt import Click, Interaction, Interactions
from medprism.core.randomness import counter_rng
from medprism.models.blocks.prototypes import BankTally
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import (
    Clicks,
    Features,
    Prompts,
    ReferenceFeatures,
    Segmenter,
    TensorValue,
    canvas_logits,
)
from medprism.models.zoo.slices.frame import Rival
from medprism.objectives.segmentation import request_loss
from medprism.prompts.clicks import draw_next_click, next_click
from medprism.prompts.rasterise import pad_queries, to_canvas
from medprism.training.config import StepPlan
from medprism.training.simulated import draw_opening


@dataclass(frozen=True, eq=False)
class Batch(TensorValue):
    """Tensors of one episode: images standardised, coverages in 0..1."""

    images: Float[Tensor, "images 3 height width"]
    image_index: Int64[Tensor, " requests"]
    concept: Int64[Tensor, " requests"]
    target: Float[Tensor, "requests height width"]
    reference_images: Float[Tensor, "requests refs 3 height width"]
    reference_masks: Float[Tensor, "requests refs height width"]


@dataclass(frozen=True)
class StepRandomness:
    """The counter that names every draw of a step: seed, step and the request's number.

    `numbers` are those of the requests at hand in the whole batch; None counts from 0.
    """

    seed: int
    step: int
    numbers: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class StepResult:
    """Mean loss to descend, and per round (with a gradient) the mean loss and hard Dice.

    `tallies` are what the batch says about a memory that no gradient moves (`Learner.take_in`).
    """

    loss: Float[Tensor, ""]
    round_losses: tuple[float, ...]
    round_dice: tuple[float, ...]
    tallies: tuple[BankTally, ...] = ()


class TrainingStep(nn.Module):
    """Encode once, then predict and correct for as many rounds as the plan says.

    A model that takes no clicks stops after the first round.

    Per-request losses are averaged over the batch; rounds after the first count `later_weight`.
    """

    def __init__(
        self, model: KPrism | Rival, output_weights: tuple[float, ...], later_weight: float
    ) -> None:
        super().__init__()
        self.model = model
        self.output_weights = output_weights
        self.later_weight = later_weight

    def forward(self, batch: Batch, plan: StepPlan, randomness: StepRandomness) -> StepResult:
        """Return the loss over all rounds of the plan."""
        return self.respond(self.model.encode(batch.images), batch, plan, randomness)

    def respond(
        self, images: Features, batch: Batch, plan: StepPlan, randomness: StepRandomness
    ) -> StepResult:
        """Return the loss over all rounds of the plan, with the batch's images already encoded."""
        features = images.select(batch.image_index)
        references = encode_references(self.model, batch) if plan.asks_references else None
        concept = batch.concept if plan.asks_class else None
        truth = (batch.target >= 0.5).numpy()
        user = _User(truth, randomness)
        canvas = (truth.shape[1], truth.shape[2])
        probability: Tensor | None = None
        total = batch.target.new_zeros(())
        losses, dices = [], []
        rounds = plan.rounds if self.model.accepts.clicks else plan.rounds[:1]
        for number, learns in enumerate(rounds):
            marked = number > 0 or not (plan.asks_class or plan.asks_references)
            clicks, dense = user.act(probability) if marked else (None, None)
            prompts = Prompts(concept, references, clicks, dense)
            with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
                decoded = self.model.decode(features, prompts)
            outputs = (*(o.float() for o in decoded.auxiliary), decoded.logits.float())
            with torch.no_grad():
                probability = canvas_logits(decoded, canvas).sigmoid()
            if learns:
                per_request = request_loss(outputs, batch.target, self.output_weights)
                weight = self.later_weight if number else 1.0
                total = total + weight * per_request.mean()
                losses.append(float(per_request.detach().mean()))
                dices.append(mean_dice(probability.numpy() >= 0.5, truth))
        return StepResult(total, tuple(losses), tuple(dices))


def encode_references(model: Segmenter, batch: Batch) -> ReferenceFeatures:
    """Encode the references of a batch, all of which are real."""
    valid = torch.ones(batch.reference_masks.shape[:2], dtype=torch.bool)
    return model.encode_references(batch.reference_images, batch.reference_masks, valid)


class _User:
    """The simulated user of every request of a batch: marks grow from round to round."""

    def __init__(
        self, truth: Bool[np.ndarray, "requests height width"], randomness: StepRandomness
    ) -> None:
        self.truth = truth
        self.said = [Interactions() for _ in range(len(truth))]
        self.fit = Fit(truth.shape[1:], truth.shape[1:], truth.shape[1:])
        numbers = randomness.numbers or tuple(range(len(truth)))
        self.rngs = [
            counter_rng(randomness.seed, randomness.step, number, "user") for number in numbers
        ]

    def act(
        self, probability: Float[Tensor, "requests height width"] | None
    ) -> tuple[Clicks, Float[Tensor, "requests 3 height width"]]:
        """Let every user correct the last prediction; return all marks so far."""
        previous = np.zeros(self.truth.shape, np.float32)
        if probability is not None:
            previous = probability.numpy().astype(np.float32)
        for index in range(len(self.truth)):
            self._speak(index, previous[index], opening=probability is None)
        placed = [to_canvas(said, self.fit) for said in self.said]
        marks = np.stack([prompt.dense for prompt in placed])
        dense = np.concatenate([marks, previous[:, None]], axis=1)
        return Clicks(*pad_queries(placed)), torch.from_numpy(dense)

    def _speak(
        self, index: int, previous: Float32[np.ndarray, "height width"], *, opening: bool
    ) -> None:
        rng, truth = self.rngs[index], self.truth[index]
        mask = previous >= 0.5
        if opening and truth.any():
            said: Interaction | None = draw_opening(rng, truth)
        else:
            said = _correction(rng, mask, truth)
        if said is not None:
            self.said[index] = self.said[index].with_added(said)


def _correction(
    rng: np.random.Generator,
    mask: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
) -> Click | None:
    # Real people do not hit the exact centre; the evaluations' user does. Train for both.
    return next_click(mask, truth) if rng.random() < 0.6 else draw_next_click(rng, mask, truth)


def mean_dice(
    mask: Bool[np.ndarray, "requests height width"],
    truth: Bool[np.ndarray, "requests height width"],
) -> float:
    """Return the mean over requests of Dice; an empty mask of an empty truth counts 1."""
    both = (mask & truth).sum((1, 2))
    size = mask.sum((1, 2)) + truth.sum((1, 2))
    return float(np.mean(np.where(size == 0, 1.0, 2 * both / np.maximum(size, 1))))
