"""A small residual UNet for one task with a fixed set of classes [UNet]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.residual import ResidualBlock, make_norm


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """`widths` are channels from full resolution down, halved in size at every step."""

    classes: int
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)

    def __post_init__(self) -> None:
        if self.classes < 1 or len(self.widths) < 2 or min(self.widths) < 1:
            raise ConfigError(
                f"a UNet needs at least 1 class and 2 positive widths, got {self.classes} and "
                f"{self.widths}"
            )

    @property
    def multiple(self) -> int:
        """Height and width of a canvas must be multiples of this."""
        return int(2 ** (len(self.widths) - 1))


class UNet(nn.Module):
    """Residual blocks down, bilinear up with a skip by addition, one logit map a class."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.down = nn.ModuleList(
            ResidualBlock(widths[max(0, level - 1)], width, 1 if level == 0 else 2, "group")
            for level, width in enumerate(widths)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False)
            for fine, coarse in zip(widths[:-1], widths[1:], strict=True)
        )
        self.up = nn.ModuleList(ResidualBlock(width, width, 1, "group") for width in widths[:-1])
        self.norm = make_norm("group", widths[0])
        self.head = nn.Conv2d(widths[0], config.classes, 1, bias=False)
        # Most pixels show none of the classes: begin there, not at one half.
        self.bias = nn.Parameter(torch.full((config.classes, 1, 1), -2.0))

    def forward(
        self, image: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images classes height width"]:
        """Return logits of standardised canvases; sides are multiples of `config.multiple`."""
        x = self.stem(image)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            wide = F.interpolate(
                self.narrow[level](x), scale_factor=2.0, mode="bilinear", align_corners=False
            )
            x = self.up[level](wide + skips[level])
        logits: Tensor = self.head(torch.relu(self.norm(x))) + self.bias
        return logits
