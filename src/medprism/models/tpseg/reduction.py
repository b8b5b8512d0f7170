"""Receptive-field blocks: four branches that look ever farther, joined and narrowed [RFB]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class NormedConv(nn.Sequential):
    """A convolution that keeps the size, and normalisation over the whole image."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], dilation: int = 1
    ) -> None:
        padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, 1, padding, dilation, bias=False),
            nn.GroupNorm(1, outputs),
        )


class ReceptiveBlock(nn.Module):
    """1 x 1; then for k = 3, 5, 7: 1 x 1, 1 x k, k x 1 and 3 x 3 dilated by k; joined by 3 x 3."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        branches: list[nn.Module] = [NormedConv(inputs, outputs, (1, 1))]
        branches += [
            nn.Sequential(
                NormedConv(inputs, outputs, (1, 1)),
                NormedConv(outputs, outputs, (1, reach)),
                NormedConv(outputs, outputs, (reach, 1)),
                NormedConv(outputs, outputs, (3, 3), reach),
            )
            for reach in (3, 5, 7)
        ]
        self.branches = nn.ModuleList(branches)
        self.join = NormedConv(4 * outputs, outputs, (3, 3))
        self.shortcut = NormedConv(inputs, outputs, (1, 1))

    def forward(
        self, x: Float[Tensor, "images inputs height width"]
    ) -> Float[Tensor, "images outputs height width"]:
        """Return the narrowed map."""
        seen = torch.cat([branch(x) for branch in self.branches], dim=1)
        return F.relu(self.join(seen) + self.shortcut(x))
