"""Pre-activation residual block and the choice of normalisation."""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.grid import make_conv

NormKind = Literal["batch", "group", "instance"]
GROUP_CHANNELS = 8


def make_norm(kind: NormKind, channels: int) -> nn.Module:
    """Return a normalisation: of the batch (2-D only), of groups of channels, or of each channel.

    Groups are of about 8 channels and divide them; three or four input channels form one group.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        # One channel a group is instance normalisation, and several times as fast on a CPU.
        return nn.GroupNorm(channels, channels)
    if kind != "group":
        raise ConfigError(f"norm {kind!r} is unknown; use one of {', '.join(get_args(NormKind))}")
    groups = max(1, channels // GROUP_CHANNELS)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)


class PointwiseConv(nn.Conv2d):
    """1x1 convolution without bias that takes every `stride`-th position.

    The positions are picked before the convolution, not by it: oneDNN's backward pass of a strided
    1x1 convolution writes past its buffer with several threads, few channels and channels last
    (uxlfoundation/oneDNN issue 6035), which ends the process.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.step = stride

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return ceil(size / stride) positions."""
        return super().forward(input[..., :: self.step, :: self.step].contiguous())


class ResidualBlock(nn.Module):
    """Norm-ReLU-conv3x3 twice plus shortcut; block A of the K-Prism encoders, in 2-D or 3-D.

    The shortcut is the identity, or norm-ReLU-conv where the shape changes; the kernel of that
    convolution is `shortcut_kernel`.

    Raises:
        ConfigError: a stride other than 1 with 3 axes or with a shortcut of more than 1x1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        norm: NormKind,
        *,
        ndim: int = 2,
        shortcut_kernel: int = 1,
    ) -> None:
        super().__init__()
        if stride != 1 and (ndim, shortcut_kernel) != (2, 1):
            raise ConfigError(
                f"a residual block of stride {stride} is 2-D with a 1x1 shortcut, got {ndim}-D and "
                f"{shortcut_kernel}; halve the grid before the block"
            )
        self.norm1 = make_norm(norm, inputs)
        self.conv1 = make_conv(ndim, inputs, outputs, 3, stride=stride)
        self.norm2 = make_norm(norm, outputs)
        self.conv2 = make_conv(ndim, outputs, outputs, 3)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                make_norm(norm, inputs),
                nn.ReLU(),
                PointwiseConv(inputs, outputs, stride)
                if (ndim, shortcut_kernel) == (2, 1)
                else make_conv(ndim, inputs, outputs, shortcut_kernel),
            )

    def forward(self, x: Float[Tensor, "b c ..."]) -> Float[Tensor, "b d ..."]:
        """Return the block's output; every side shrinks by the stride."""
        hidden = self.conv1(F.relu(self.norm1(x)))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        summed: Tensor = hidden + self.shortcut(x)
        return summed
