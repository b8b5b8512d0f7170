"""A residual UNet on slices or volumes, as an encoder and a way up that can be used apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.grid import check_ndim, halve, make_conv, resize_linear, size_of
from medprism.models.blocks.residual import NormKind, ResidualBlock

LARGEST_COUNT = 65_536
# How the way up takes in the map of the encoder.
Skip = Literal["concat", "add"]


@dataclass(frozen=True, kw_only=True)
class BodyConfig:
    """A residual UNet with one level a width, each half the size of the one before.

    `widths` are channels from full size down; `down_blocks` and `up_blocks` the residual blocks of
    every level of the encoder and of the way up (one fewer). `skip` joins the encoder's map to the
    upsampled one by concatenation, or by addition after a 1x1 convolution that narrows the latter.
    """

    ndim: int
    channels: int
    widths: tuple[int, ...]
    down_blocks: tuple[int, ...]
    up_blocks: tuple[int, ...]
    norm: NormKind = "instance"
    shortcut_kernel: int = 1
    skip: Skip = "concat"

    def __post_init__(self) -> None:
        check_ndim(self.ndim)
        check_counts(
            "UNet",
            channels=self.channels,
            widths=self.widths,
            down_blocks=self.down_blocks,
            up_blocks=self.up_blocks,
        )
        levels = len(self.widths)
        if levels < 2 or (levels, levels - 1) != (len(self.down_blocks), len(self.up_blocks)):
            raise ConfigError(
                f"a UNet of widths {self.widths} needs at least 2 levels, one entry of down_blocks "
                f"a level and one of up_blocks fewer, got {self.down_blocks} and {self.up_blocks}"
            )
        if self.norm not in ("group", "instance"):
            raise ConfigError(f"norm of a UNet must be 'group' or 'instance', got {self.norm!r}")
        if self.shortcut_kernel not in (1, 3):
            raise ConfigError(f"shortcut_kernel must be 1 or 3, got {self.shortcut_kernel!r}")
        if self.skip not in get_args(Skip):
            raise ConfigError(f"skip {self.skip!r} is unknown; use 'concat' or 'add'")

    @property
    def multiple(self) -> int:
        """Every side of an image must be a multiple of this."""
        return int(2 ** (len(self.widths) - 1))


def check_counts(owner: str, *, least: int = 1, **counts: object) -> None:
    """Refuse settings that are not whole numbers in range; a tuple is checked item by item.

    Raises:
        ConfigError: a number is below `least` or beyond what any model of ours comes near.
    """
    for name, value in counts.items():
        items = value if isinstance(value, tuple) else (value,)
        if not all(type(item) is int and least <= item <= LARGEST_COUNT for item in items):
            raise ConfigError(
                f"{owner} {name} must be whole numbers of at least {least} and at most "
                f"{LARGEST_COUNT}, got {value!r}"
            )


class UNetEncoder(nn.Module):
    """A convolution, then residual blocks at every level; maps from full size down."""

    def __init__(self, config: BodyConfig) -> None:
        super().__init__()
        widths = config.widths
        self.stem = make_conv(config.ndim, config.channels, widths[0], 3)
        self.levels = nn.ModuleList(
            _stage(config, widths[max(0, level - 1)], width, config.down_blocks[level])
            for level, width in enumerate(widths)
        )

    def forward(
        self, image: Float[Tensor, "images channels ..."], levels: int | None = None
    ) -> tuple[Float[Tensor, "images _ ..."], ...]:
        """Return one map a level, or those of the first `levels`."""
        x, maps = self.stem(image), []
        for level, blocks in enumerate(self.levels[:levels]):
            x = blocks(x if level == 0 else halve(x))
            maps.append(x)
        return tuple(maps)


class UNetStep(nn.Module):
    """One level of the way up: enlarge, join with the encoder's map, residual blocks."""

    def __init__(self, config: BodyConfig, level: int) -> None:
        super().__init__()
        coarse, fine = config.widths[level + 1], config.widths[level]
        self.narrow: nn.Module | None = None
        joined = coarse + fine
        if config.skip == "add":
            self.narrow = make_conv(config.ndim, coarse, fine, 1)
            joined = fine
        self.blocks = _stage(config, joined, fine, config.up_blocks[level])

    def forward(
        self, coarse: Float[Tensor, "images deep ..."], skip: Float[Tensor, "images width ..."]
    ) -> Float[Tensor, "images width ..."]:
        """Return the map at the size of `skip`."""
        if self.narrow is not None:
            joined = resize_linear(self.narrow(coarse), size_of(skip)) + skip
        else:
            joined = torch.cat([resize_linear(coarse, size_of(skip)), skip], dim=1)
        raised: Tensor = self.blocks(joined)
        return raised


def _stage(config: BodyConfig, inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            ResidualBlock(
                inputs if index == 0 else outputs,
                outputs,
                1,
                config.norm,
                ndim=config.ndim,
                shortcut_kernel=config.shortcut_kernel,
            )
            for index in range(blocks)
        )
    )
