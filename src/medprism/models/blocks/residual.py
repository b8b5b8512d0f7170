"""Pre-activation residual block and the choice of normalisation."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError

NormKind = Literal["batch", "group"]
GROUP_CHANNELS = 8


def make_norm(kind: NormKind, channels: int) -> nn.Module:
    """Return batch normalisation, or group normalisation with groups of about 8 channels.

    Groups divide the channels; three or four input channels form one group.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind != "group":
        raise ConfigError(f"norm {kind!r} is unknown; use 'batch' or 'group'")
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
    """Norm-ReLU-conv3x3 twice plus shortcut; block A of the K-Prism encoders.

    The shortcut is the identity, or norm-ReLU-conv1x1 where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: NormKind) -> None:
        super().__init__()
        self.norm1 = make_norm(norm, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = make_norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                make_norm(norm, inputs),
                nn.ReLU(),
                PointwiseConv(inputs, outputs, stride),
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return the block's output; height and width shrink by the stride."""
        hidden = self.conv1(F.relu(self.norm1(x)))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        summed: Tensor = hidden + self.shortcut(x)
        return summed
