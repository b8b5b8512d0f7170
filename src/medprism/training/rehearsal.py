"""Learn new classes without forgetting old ones: what learns, and what the old model still says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

from medprism.core.randomness import counter_rng
from medprism.data.episode import Episode, EpisodeSampler
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Features, Prompts
from medprism.training.config import StepPlan, TrainConfig
from medprism.training.initial import CLASS_TENSORS
from medprism.training.loop import Learner
from medprism.training.step import Batch, StepRandomness, StepResult, TrainingStep

# What learns besides the class table; the encoders of images, masks and marks stay as they are.
LEARNING: Final = ("decoder.", "fine_head.")


@dataclass(frozen=True, eq=False)
class Memory:
    """What an old model knew: the model, its classes, and those that it finds on the new images.

    Half of the classes that are asked about come from `likely`, as others mostly give no mask.
    """

    model: KPrism
    rows: tuple[int, ...]
    likely: tuple[int, ...]

    def draw(self, rng: np.random.Generator, count: int) -> list[int]:
        """Draw classes to ask about."""
        pools = [
            self.likely if rng.random() < 0.5 and self.likely else self.rows for _ in range(count)
        ]
        return [pool[int(rng.integers(len(pool)))] for pool in pools]


class RehearsingStep(nn.Module):
    """A training step that also keeps the answers of an old model for its classes.

    The old model's probability for a drawn old class is the target of the new one on the same
    image (distillation): rehearsal without the old data. The image encoder does not learn, so that
    both models share an encoding.
    """

    def __init__(self, step: TrainingStep, memory: Memory, weight: float) -> None:
        super().__init__()
        self.step = step
        self.weight = weight
        # Not registered: the old model is no part of what learns.
        self._memory = (memory,)

    def forward(self, batch: Batch, plan: StepPlan, randomness: StepRandomness) -> StepResult:
        """Return the loss of the step; what is reported by round is of the new masks alone."""
        with torch.no_grad():
            images = self.step.model.encode(batch.images)
        result = self.step.respond(images, batch, plan, randomness)
        kept = self._forgetting(images, randomness)
        return replace(result, loss=result.loss + self.weight * kept)

    def _forgetting(self, images: Features, randomness: StepRandomness) -> Float[Tensor, ""]:
        """Return the mean cross-entropy between the old and the new answers."""
        (memory,) = self._memory
        if not memory.rows:
            return images.maps[0].new_zeros(())
        count = images.maps[0].shape[0]
        rng = counter_rng(randomness.seed, randomness.step, "old classes")
        shown = rng.permutation(count)[: max(1, count // 2)]
        images = images.select(torch.from_numpy(shown))
        rows = memory.draw(rng, len(shown))
        asked = Prompts(concept=torch.tensor(rows, dtype=torch.int64))
        with torch.no_grad():
            target = memory.model.decode(images, asked).logits.float().sigmoid()
        answer = self.step.model.decode(images, asked).logits.float()
        return F.binary_cross_entropy_with_logits(answer, target)


def make_learner(
    model: KPrism,
    config: TrainConfig,
    rows: Sequence[int],
    memory: Memory,
    *,
    decoder_rate: float,
    weight: float,
) -> Learner:
    """Return the learner of a fine-tuning: some rows of the class table, and the decoder slowly.

    All other rows stay bit for bit as they are. `decoder_rate` is the decoder's share of the run's
    rate, 0 leaves it alone; `weight` is that of the old answers in the loss.
    """
    model.requires_grad_(False)
    learning = []
    for name, parameter in model.named_parameters():
        if name in CLASS_TENSORS:
            parameter.requires_grad_(True)
            _learn_rows(parameter, rows)
        elif decoder_rate and name.startswith(LEARNING):
            parameter.requires_grad_(True)
            learning.append(parameter)
    tables = [dict(model.named_parameters())[name] for name in CLASS_TENSORS]
    # Weight decay would change rows that get no gradient.
    groups = [{"params": tables, "weight_decay": 0.0, "scale": 1.0}]
    if learning:
        groups.append({"params": learning, "weight_decay": 0.0, "scale": decoder_rate})
    optimizer = AdamW(groups, lr=config.peak_rate, betas=(0.9, 0.99))
    step = TrainingStep(model, config.output_weights, config.later_weight)
    return Learner(RehearsingStep(step, memory, weight), optimizer)


def _learn_rows(table: nn.Parameter, rows: Sequence[int]) -> None:
    mask = torch.zeros(len(table), 1, 1)
    mask[list(rows)] = 1.0
    # With a gradient of zero the moments of a row stay zero, and Adam leaves it alone.
    table.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]


class RehearsingSampler:
    """Draws episodes of new masks, with a share of the requests from old ones.

    Several sources of old masks take turns. References and marks are rehearsed along with classes.
    """

    def __init__(self, new: EpisodeSampler, old: Sequence[EpisodeSampler], share: float) -> None:
        self._new, self._old, self._share = new, tuple(old), share

    def draw(
        self,
        seed: int,
        step: int,
        *,
        needs_reference: bool,
        num_requests: int,
        size: int,
        self_reference: float,
        allows_absent: bool,
        share: tuple[int, int] = (0, 1),
    ) -> Episode:
        """Return the whole episode of a step; the same arguments give the same bytes."""
        count = min(num_requests - 1, max(1, round(self._share * num_requests)))
        parts = [
            sampler.draw(
                seed,
                step,
                needs_reference,
                number,
                size,
                self_reference,
                allows_absent=allows_absent,
            )
            for sampler, number in (
                (self._new, num_requests - count),
                (self._old[step % len(self._old)], count),
            )
            if number
        ]
        return join(parts)


def join(episodes: Sequence[Episode]) -> Episode:
    """Return several episodes as one; either all of them have references or none."""
    starts = np.cumsum([0, *(len(one.images) for one in episodes)])
    shifted = [one.image_index + start for one, start in zip(episodes, starts[:-1], strict=True)]
    with_references = all(one.reference_images is not None for one in episodes)
    return Episode(
        images=np.concatenate([one.images for one in episodes]),
        image_index=np.concatenate(shifted),
        concept=np.concatenate([one.concept for one in episodes]),
        targets=np.concatenate([one.targets for one in episodes]),
        reference_images=_joined([one.reference_images for one in episodes])
        if with_references
        else None,
        reference_masks=_joined([one.reference_masks for one in episodes])
        if with_references
        else None,
        is_absent=np.concatenate([one.is_absent for one in episodes]),
        row=np.concatenate([one.row for one in episodes]),
        reference_rows=_joined([one.reference_rows for one in episodes])
        if with_references
        else None,
    )


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray:
    return np.concatenate([part for part in parts if part is not None])
