"""Of a question's candidates only the best one learns, whatever the noise of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.tyche import Tyche
from medprism.training.batches import to_batch
from medprism.training.config import StepPlan
from medprism.training.distributed import share_of
from medprism.training.step import Batch, StepRandomness
from medprism.training.tyche_step import TycheStep, best_losses

from .shown_boxes import ShownBoxes

PLAN = StepPlan(asks_class=False, asks_references=True, rounds=(True,))


def draw_candidates() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    target = torch.zeros(2, 6, 9)
    target[0, 1:4, 2:8] = 1
    return torch.randn(2, 3, 6, 9, generator=generator), target


def draw_batch() -> Batch:
    return to_batch(
        ShownBoxes().draw(
            1,
            0,
            needs_reference=True,
            num_requests=4,
            size=64,
            self_reference=0.0,
            allows_absent=False,
        )
    )


def make() -> TycheStep:
    torch.manual_seed(2)
    return TycheStep(Tyche(replace(rival_nano(2), side=32)))


def test_the_loss_is_the_literal_minimum_over_candidates() -> None:
    candidates, target = draw_candidates()
    for row, found in enumerate(best_losses(candidates, target).tolist()):
        wanted = target[row].double().numpy()
        losses = []
        for k in range(3):
            p = 1 / (1 + np.exp(-candidates[row, k].double().numpy()))
            surprise = -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p)).mean()
            dice = (2 * (p * wanted).sum() + 1) / (p.sum() + wanted.sum() + 1)
            losses.append(surprise + 1 - dice)
        assert abs(found - min(losses)) < 1e-6
        assert len({round(loss, 4) for loss in losses}) == 3


def test_only_the_best_candidate_learns() -> None:
    candidates, target = draw_candidates()
    candidates[0, 1] = 4 * target[0] - 2
    candidates[1, 2] = -5.0
    candidates.requires_grad_(True)
    best_losses(candidates, target).sum().backward()
    assert candidates.grad is not None
    learns = candidates.grad.abs().amax((2, 3)) > 0
    assert learns.tolist() == [[False, True, False], [False, False, True]]


def test_noise_is_that_of_step_and_request() -> None:
    step, batch = make(), draw_batch()
    whole = step(batch, PLAN, StepRandomness(7, 3))
    assert float(step(batch, PLAN, StepRandomness(7, 3)).loss.detach()) == whole.round_losses[0]
    assert step(batch, PLAN, StepRandomness(7, 4)).round_losses != whole.round_losses
    parts = []
    for rank in (0, 1):
        part, randomness, _ = share_of(batch, StepRandomness(7, 3), rank, 2)
        assert randomness.numbers == (rank, rank + 2)
        parts.append(step(part, PLAN, randomness))
    mean = sum(part.round_losses[0] for part in parts) / 2
    assert abs(mean - whole.round_losses[0]) < 1e-5
