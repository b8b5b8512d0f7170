"""Inverted residual blocks without normalisation, and the trunk made of them.

The layout is that of EfficientNet-Lite [EfficientNet]: no squeeze and
excitation, ReLU6 throughout. Normalisation is folded into the convolutions, so a trunk that starts
from trained weights is plain convolutions with biases and needs no statistics of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError

LARGEST_SIZE = 4096


@dataclass(frozen=True)
class TrunkStage:
    """`repeats` blocks of one width; the first takes the stride."""

    width: int
    repeats: int
    kernel: int
    stride: int
    expand: int

    def __post_init__(self) -> None:
        counts = (self.width, self.repeats, self.kernel, self.stride, self.expand)
        if not all(type(count) is int and 1 <= count <= LARGEST_SIZE for count in counts):
            raise ConfigError(f"trunk stage {counts} needs whole numbers of 1 to {LARGEST_SIZE}")
        if self.kernel % 2 == 0 or self.stride > 2:
            raise ConfigError(
                f"trunk stage needs an odd kernel and stride 1 or 2, got kernel {self.kernel} and "
                f"stride {self.stride}"
            )


class SamePadConv(nn.Conv2d):
    """A convolution that pads as TensorFlow does: an odd total goes to the end.

    The trained weights were made so; symmetric padding would shift every stride by a pixel.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return ceil(size / stride) positions."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1 and kernel % 2:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        if kernel < stride:
            return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            # No branch on the size, so that an exported graph serves odd and even ones.
            total = kernel - stride + (-size) % stride
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, stride, 0, 1, self.groups)


class DepthwiseConv(SamePadConv):
    """A `SamePadConv` with a kernel of its own for each channel, always in its own precision.

    Backward through a depthwise convolution in bfloat16 takes two to ten times as long on a CPU.
    """

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Return ceil(size / stride) positions."""
        if not torch.amp.is_autocast_available(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


class InvertedBlock(nn.Module):
    """conv1x1 up, depthwise, conv1x1 down; a residual where the shape stays."""

    def __init__(self, inputs: int, stage: TrunkStage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expand
        self.expand: nn.Module = nn.Identity()
        if stage.expand > 1:
            self.expand = nn.Sequential(nn.Conv2d(inputs, hidden, 1), nn.ReLU6())
        self.depthwise = DepthwiseConv(hidden, stage.kernel, stride)
        self.project = nn.Conv2d(hidden, stage.width, 1)
        self.keeps_shape = stride == 1 and inputs == stage.width

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Return the block's output."""
        inner = F.relu6(self.depthwise(self.expand(x)))
        out: Tensor = self.project(inner)
        return x + out if self.keeps_shape else out


class Trunk(nn.Module):
    """A halving stem and stages of inverted blocks."""

    def __init__(self, inputs: int, stem: int, stages: tuple[TrunkStage, ...]) -> None:
        super().__init__()
        self.stem = SamePadConv(inputs, stem, 3, 2)
        built, width = [], stem
        for stage in stages:
            blocks = []
            for index in range(stage.repeats):
                blocks.append(InvertedBlock(width, stage, stage.stride if index == 0 else 1))
                width = stage.width
            built.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(built)
        lasts = tuple(
            index + 1 == len(stages) or stages[index + 1].stride > 1 for index in range(len(stages))
        )
        self.last_of_scale = lasts
        self.widths = tuple(s.width for s, last in zip(stages, lasts, strict=True) if last)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b _ _ _"], ...]:
        """Return the last map of every scale, from 1/2 on."""
        # Depthwise kernels read all channels of a pixel together: two to five times as fast.
        x = F.relu6(self.stem(x.contiguous(memory_format=torch.channels_last)))
        maps = []
        for stage, last in zip(self.stages, self.last_of_scale, strict=True):
            x = stage(x)
            if last:
                maps.append(x.contiguous())
        return tuple(maps)
