"""Depth-wise kernels that are generated for every image, and their convolution.

A mixture of depth-wise convolutions is linear in its kernels: sum_m w_m DW(x; k_m) equals
DW(x; sum_m w_m k_m). So the kernels are mixed first, and all images of a batch are convolved at
once, as the groups of one convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medprism.models.blocks.precision import full_precision

SIDE = 3

Maps = Float[Tensor, "images channels height width"]
Kernels = Float[Tensor, "images channels 3 3"]


class KernelGenerator(nn.Module):
    """Turn a vector an image into one kernel a channel: a mixture of `experts`, near identity.

    k = b sum_m w_m k_m + (1 - b) identity with a learned b, w = softmax of a linear map.
    """

    def __init__(self, dim: int, experts: int, blend: float) -> None:
        super().__init__()
        self.dim, self.experts = dim, experts
        self.inner = nn.Linear(dim, 2 * dim)
        self.outer = nn.Linear(2 * dim, experts * dim * SIDE * SIDE)
        # A single expert needs no weights, which would never learn.
        self.mixture = nn.Linear(dim, experts) if experts > 1 else None
        self.blend = nn.Parameter(torch.tensor(blend))

    def draw(
        self, summary: Float[Tensor, "images dim"]
    ) -> tuple[Float[Tensor, "images experts dim 3 3"], Float[Tensor, "images experts"]]:
        """Return the kernels of all experts, blended with the identity, and their weights."""
        raw = self.outer(F.gelu(self.inner(summary)))
        raw = rearrange(raw, "b (m c i j) -> b m c i j", m=self.experts, c=self.dim, i=SIDE, j=SIDE)
        identity = torch.zeros_like(raw[:1, :1, :1])
        identity[..., SIDE // 2, SIDE // 2] = 1
        blended = self.blend * raw + (1 - self.blend) * identity
        if self.mixture is None:
            return blended, summary.new_ones(len(summary), 1)
        return blended, self.mixture(summary).softmax(-1)

    def forward(self, summary: Float[Tensor, "images dim"]) -> Kernels:
        """Return the mixed kernels."""
        kernels, weights = self.draw(summary)
        return (kernels * weights[..., None, None, None]).sum(1)


def convolve_each(x: Maps, kernels: Kernels) -> Maps:
    """Convolve every channel of every image with a kernel of its own; one grouped convolution.

    Runs in the precision of at least float32: backward through depth-wise convolutions in bfloat16
    takes several times as long on a CPU.

    >>> kernels = torch.zeros(1, 1, 3, 3); kernels[..., 1, 0] = 2.0
    >>> convolve_each(torch.tensor([[[[1.0, 3.0]]]]), kernels).tolist()
    [[[[0.0, 2.0]]]]
    """
    precise = torch.promote_types(x.dtype, torch.float32)
    with full_precision(x.device):
        stacked = rearrange(x.to(precise), "b c h w -> 1 (b c) h w")
        weight = rearrange(kernels.to(precise), "b c i j -> (b c) 1 i j")
        mixed = F.conv2d(stacked, weight, padding=SIDE // 2, groups=len(weight))
    return rearrange(mixed, "1 (b c) h w -> b c h w", b=len(x))
