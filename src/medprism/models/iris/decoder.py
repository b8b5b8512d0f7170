"""The mask decoder: task tokens and query features exchange, then all masks in one pass.

Two-way attention on the deepest maps of the UNet's way up, skips up to full size, and one dot
product of a class vector with every voxel [Iris, Sec. 3]. The paper does not say on which maps, nor
how the head works; choices are settings (`MaskDecoderConfig`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.models.blocks.grid import make_conv, size_of
from medprism.models.blocks.position import sine_lattice
from medprism.models.blocks.residual import make_norm
from medprism.models.blocks.two_way import TwoWayBlock
from medprism.models.blocks.unet import BodyConfig, UNetStep
from medprism.models.iris.config import IrisConfig, MaskDecoderConfig, heads_of
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.segmenter import Features

# The logit of a class that nothing is known about: certainly not there, and finite.
ABSENT_LOGIT = -20.0
# Most voxels show none of the classes: training begins there, not at one half.
FIRST_LOGIT = -2.0


class Exchange(nn.Module):
    """Two-way blocks on one map, with the tokens brought to its width."""

    def __init__(self, config: MaskDecoderConfig, tokens: int, width: int, blocks: int) -> None:
        super().__init__()
        self.has_position = config.has_position
        self.enter = nn.Linear(tokens, width)
        self.blocks = nn.ModuleList(
            TwoWayBlock(
                width,
                heads_of(width, config.head_width),
                config.feed,
                config.token_sight,
                writes=config.writes,
            )
            for _ in range(blocks)
        )

    def forward(
        self,
        tokens: Float[Tensor, "requests classes tokens dim"],
        present: Bool[Tensor, "requests classes"],
        grid: Float[Tensor, "requests width ..."],
    ) -> tuple[Float[Tensor, "requests classes tokens width"], Float[Tensor, "requests width ..."]]:
        """Return the tokens at the map's width, and the map."""
        flat, size = grid.flatten(2), size_of(grid)
        place = None
        if self.has_position:
            place = sine_lattice(size, flat.shape[1], device=flat.device, dtype=flat.dtype)
        tokens = self.enter(tokens)
        for block in self.blocks:
            tokens, flat = block(tokens, present, flat, place)
        return tokens, flat.reshape(grid.shape)


class DotHead(nn.Module):
    """One vector a class, compared with the vector of every voxel: K maps by one product."""

    def __init__(self, config: IrisConfig, width: int) -> None:
        super().__init__()
        body, decoder = config.body, config.decoder
        self.has_foreground = config.task.has_foreground
        self.norm = make_norm(body.norm, body.widths[0])
        self.voxels = make_conv(body.ndim, body.widths[0], decoder.head_dim, 1)
        parts = int(config.task.has_foreground) + int(config.task.queries > 0)
        self.token_norm = nn.LayerNorm(parts * width)
        self.inner = nn.Linear(parts * width, decoder.head_hidden)
        self.outer = nn.Linear(decoder.head_hidden, decoder.head_dim)
        self.bias = nn.Parameter(torch.tensor(FIRST_LOGIT))

    def forward(
        self,
        tokens: Float[Tensor, "requests classes tokens width"],
        grid: Float[Tensor, "requests channels ..."],
    ) -> Float[Tensor, "requests classes ..."]:
        """Return the logits of every class at full size."""
        parts = [tokens[:, :, 0]] if self.has_foreground else []
        rest = tokens[:, :, len(parts) :]
        if rest.shape[2]:
            parts.append(rest.mean(2))
        joined = self.token_norm(torch.cat(parts, -1))
        classes = self.outer(F.gelu(self.inner(joined)))
        voxels = self.voxels(F.relu(self.norm(grid)))
        # Divided so that the first logits lie near the bias at every width.
        scores = classes @ voxels.flatten(2) * classes.shape[-1] ** -0.5
        logits: Tensor = scores.reshape(*scores.shape[:2], *size_of(grid)) + self.bias
        return logits


class MaskDecoder(nn.Module):
    """The way up of the UNet with an exchange on its coarsest maps, and the head."""

    def __init__(self, config: IrisConfig) -> None:
        super().__init__()
        body: BodyConfig = config.body
        levels = len(body.widths)
        exchanges: list[nn.Module] = []
        width = config.task.dim
        for depth, blocks in enumerate(config.decoder.blocks):
            if not blocks:
                exchanges.append(nn.Identity())
                continue
            after = body.widths[levels - 1 - depth]
            exchanges.append(Exchange(config.decoder, width, after, blocks))
            width = after
        self.exchanges = nn.ModuleList(exchanges)
        self.steps = nn.ModuleList(UNetStep(body, level) for level in reversed(range(levels - 1)))
        self.head = DotHead(config, width)

    def forward(
        self, features: Features, tasks: TaskEmbeddings
    ) -> Float[Tensor, "requests classes ..."]:
        """Return one logit map a class, at full size; an absent class has `ABSENT_LOGIT`."""
        maps = features.maps[::-1]
        grid, tokens = maps[0], tasks.tokens
        for depth, skip in enumerate(maps):
            if depth:
                grid = self.steps[depth - 1](grid, skip)
            if depth < len(self.exchanges):
                exchange = self.exchanges[depth]
                if isinstance(exchange, Exchange):
                    tokens, grid = exchange(tokens, tasks.present, grid)
        logits: Tensor = self.head(tokens, grid)
        known = tasks.present.reshape(*tasks.present.shape, *(1,) * (logits.ndim - 2))
        return logits.masked_fill(~known, ABSENT_LOGIT)
