"""The structure-aware loss of TP-Seg: Dice, and cross-entropy that counts more at borders."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from medprism.core.errors import InternalError
from medprism.objectives.dice_loss import dice_loss

Maps = Float[Tensor, "requests height width"]

# Pixels around a pixel that say whether a border is near, and what a border adds to its weight.
WINDOW: Final = 31
BORDER: Final = 2.0


def border_weight(target: Maps, window: int = WINDOW) -> Maps:
    """Return 1 + 2 |mean of the target in a window - target|, from 1 far inside to 3 [TPSeg].

    `window` is an odd number of pixels; beyond the edge of the image nothing is covered, as in the
    release, so that a lesion at the edge has a border there.

    >>> border_weight(torch.tensor([[[1.0, 0.0, 0.0]]]), window=3)[0, 0].tolist()
    [2.777..., 1.222..., 1.0]
    """
    near = functional.avg_pool2d(target[:, None], window, stride=1, padding=window // 2)[:, 0]
    return 1 + BORDER * (near - target).abs()


def border_cross_entropy(
    logits: Maps, target: Maps, window: int = WINDOW
) -> Float[Tensor, " requests"]:
    """Return the mean of cross-entropy over pixels, weighted by `border_weight`.

    >>> round(border_cross_entropy(torch.zeros(1, 2, 3), torch.ones(1, 2, 3)).item(), 4)
    0.6931
    """
    precise = torch.promote_types(logits.dtype, torch.float32)
    coverage = target.to(precise)
    weight = border_weight(coverage, window)
    per_pixel = functional.binary_cross_entropy_with_logits(
        logits.to(precise), coverage, reduction="none"
    )
    return (weight * per_pixel).sum((1, 2)) / weight.sum((1, 2))


def structure_loss(
    outputs: tuple[Maps, ...], target: Maps, window: int = WINDOW
) -> Float[Tensor, " requests"]:
    """Return the sum over outputs of 0.5 Dice + 0.5 weighted cross-entropy [TPSeg].

    Outputs are logits at the size of the target (coverage in 0..1); the paper's are the fused one
    and those of the three decoders. One value a request; the caller averages.

    Raises:
        InternalError: no output.

    >>> target = torch.zeros(1, 4, 6); target[0, 1:3, 2:] = 1.0
    >>> round(structure_loss((40 * target - 20,) * 4, target).item(), 4)
    0.0
    """
    if not outputs:
        raise InternalError("a structure loss of no output; give one at least")
    total = target.new_zeros(len(target))
    for logits in outputs:
        halves = dice_loss(logits, target) + border_cross_entropy(logits, target, window)
        total = total + 0.5 * halves
    return total
