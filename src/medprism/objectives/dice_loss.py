"""Soft Dice loss from logits, one value a request."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

# One pixel, in numerator and denominator: an empty prediction of an empty target costs nothing.
SMOOTHING: Final = 1.0


def dice_loss(
    logits: Float[Tensor, "requests height width"], target: Float[Tensor, "requests height width"]
) -> Float[Tensor, " requests"]:
    """Return 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) with p = sigmoid(logits).

    Targets are coverage in 0..1. The smoothing constant is one pixel; with an empty target the
    loss is sum(p) / (sum(p) + 1), which goes to 0 with the prediction. Sums run in at least
    float32, so that bfloat16 logits are safe.

    >>> target = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    >>> round(dice_loss(20 * target - 10, target).item(), 3)
    0.0
    >>> round(dice_loss(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)).item(), 3)
    0.667
    """
    precise = torch.promote_types(logits.dtype, torch.float32)
    probability = logits.to(precise).sigmoid()
    coverage = target.to(precise)
    overlap = (probability * coverage).sum((1, 2))
    total = probability.sum((1, 2)) + coverage.sum((1, 2))
    return 1 - (2 * overlap + SMOOTHING) / (total + SMOOTHING)
