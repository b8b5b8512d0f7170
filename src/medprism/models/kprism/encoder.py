"""The image and mask encoders: residual stages, with linear attention in the base model.

At the base settings the counts are those of specs/k-prism, section 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medprism.models.blocks.inverted import Trunk
from medprism.models.blocks.residual import ResidualBlock, make_norm
from medprism.models.kprism.config import EncoderConfig

# Keys and values are pooled to this grid; the bias table spans every offset between two cells.
GRID = 8
HEADS = 4


class LinearAttention(nn.Module):
    """Attention of all positions to an 8 x 8 summary, with a learned relative bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_depth = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.in_point = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.bias_table = nn.Parameter(torch.zeros((2 * GRID - 1) ** 2, HEADS))
        self.out_depth = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.out_point = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def relative_bias(self, height: int, width: int) -> Float[Tensor, "heads positions cells"]:
        """Return the bias of each position towards each cell; a position lies in one cell."""
        device = self.bias_table.device
        row = torch.arange(height, device=device) * GRID // height
        col = torch.arange(width, device=device) * GRID // width
        cell = torch.arange(GRID, device=device)
        row_offset = row[:, None] - cell[None] + GRID - 1
        col_offset = col[:, None] - cell[None] + GRID - 1
        index = row_offset[:, None, :, None] * (2 * GRID - 1) + col_offset[None, :, None, :]
        return rearrange(self.bias_table[index.reshape(height * width, -1)], "p c h -> h p c")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the attended features."""
        height, width = x.shape[-2:]
        q, k, v = self.in_point(self.in_depth(x)).chunk(3, dim=1)
        size = (GRID, GRID)
        k = F.interpolate(k, size, mode="bilinear", align_corners=False)
        v = F.interpolate(v, size, mode="bilinear", align_corners=False)
        q, k, v = (rearrange(t, "b (n d) h w -> b n (h w) d", n=HEADS) for t in (q, k, v))
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        weights = (scores + self.relative_bias(height, width)).softmax(-1)
        mixed = rearrange(weights @ v, "b n (h w) d -> b (n d) h w", h=height)
        attended: Tensor = self.out_point(self.out_depth(mixed))
        return attended


class AttentionBlock(nn.Module):
    """x + LinAttn(norm(x)), then + conv1x1(ReLU(norm(.))): block B."""

    def __init__(self, channels: int, config: EncoderConfig) -> None:
        super().__init__()
        self.norm1 = make_norm(config.norm, channels)
        self.attention = LinearAttention(channels)
        self.norm2 = make_norm(config.norm, channels)
        self.point = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the block's output."""
        x = x + self.attention(self.norm1(x))
        summed: Tensor = x + self.point(F.relu(self.norm2(x)))
        return summed


class Encoder(nn.Module):
    """Turn a canvas into maps from fine to coarse: 1/2 (where kept), 1/4, 1/8 and 1/16."""

    def __init__(self, inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stem: nn.Module = nn.Identity()
        channels = inputs
        if config.first_stage == 1:
            self.stem = nn.Conv2d(inputs, config.widths[0], 3, 2, 1, bias=False)
            channels = config.widths[0]
        stages = []
        for index, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            stages.append(_stage(channels, width, blocks, halve=index > 0, config=config))
            channels = width
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b _ _ _"], ...]:
        """Return the last four maps, at 1/2, 1/4, 1/8 and 1/16."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps[-4:])


def _stage(
    inputs: int, width: int, blocks: int, *, halve: bool, config: EncoderConfig
) -> nn.Sequential:
    layers: list[nn.Module] = []
    stride = 2 if halve else 1
    if halve and config.max_pool:
        layers.append(nn.MaxPool2d(2))
        stride = 1
    for index in range(blocks):
        first = index == 0
        layers.append(
            ResidualBlock(inputs if first else width, width, stride if first else 1, config.norm)
        )
    if halve and config.attention:
        layers.append(AttentionBlock(width, config))
    return nn.Sequential(*layers)


class PyramidEncoder(nn.Module):
    """A trunk of inverted blocks with a top-down pyramid: the maps of `Encoder`, other inside.

    Each map is the trunk's at its scale plus the coarser one, brought to its width and size
    [FPN], then residual blocks.
    """

    def __init__(self, inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(inputs, config.trunk_stem, config.trunk)
        found = self.trunk.widths
        coarser = (*config.widths[1:], found[-1])
        self.lateral = nn.ModuleList(
            nn.Conv2d(width, out, 1) for width, out in zip(found[:-1], config.widths, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Conv2d(width, out, 1) for width, out in zip(coarser, config.widths, strict=True)
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(out, out, 1, config.norm) for _ in range(blocks)))
            for out, blocks in zip(config.widths, config.blocks, strict=True)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b _ _ _"], ...]:
        """Return the maps at 1/2, 1/4, 1/8 and 1/16."""
        *fine, above = self.trunk(x)
        maps: list[Tensor] = []
        for index in reversed(range(len(fine))):
            # Narrowed before it is enlarged: a quarter of the work, the same map.
            from_above = F.interpolate(self.down[index](above), fine[index].shape[-2:])
            above = self.refine[index](self.lateral[index](fine[index]) + from_above)
            maps.append(above)
        return tuple(reversed(maps))


def make_encoder(inputs: int, config: EncoderConfig) -> Encoder | PyramidEncoder:
    """Return the encoder that the settings describe."""
    return PyramidEncoder(inputs, config) if config.trunk else Encoder(inputs, config)
