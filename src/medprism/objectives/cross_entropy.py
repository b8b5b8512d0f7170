"""Binary cross-entropy from logits, one value a request."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Float[Tensor, "requests height width"], target: Float[Tensor, "requests height width"]
) -> Float[Tensor, " requests"]:
    """Return the mean over pixels of -t log p - (1 - t) log(1 - p) with p = sigmoid(logits).

    Targets are coverage in 0..1. Computed in at least float32 without forming p.

    >>> round(cross_entropy(torch.zeros(1, 2, 3), torch.ones(1, 2, 3)).item(), 4)
    0.6931
    """
    precise = torch.promote_types(logits.dtype, torch.float32)
    per_pixel = functional.binary_cross_entropy_with_logits(
        logits.to(precise), target.to(precise), reduction="none"
    )
    return per_pixel.mean((1, 2))
