"""The bidirectional mixture-of-experts decoder over three scales [KPrism, 3.3]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.models.blocks.experts import (
    PixelReader,
    PixelWriter,
    QueryAttention,
    QueryFeedForward,
)
from medprism.models.blocks.position import sine_grid
from medprism.models.blocks.residual import make_norm
from medprism.models.kprism.config import DecoderConfig
from medprism.models.kprism.knowledge import ContextQueries, Sparse

Map = Float[Tensor, "requests dim h w"]
CHANNEL_KERNEL = 5
STRIDES = (16, 8, 4)


class PixelFeedForward(nn.Module):
    """ReLU-conv-ReLU-conv, scaled by a gate over channels, residual: PixelFFN."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, hidden, 3, 1, 1)
        self.conv2 = nn.Conv2d(hidden, dim, 3, 1, 1)
        self.gate = nn.Conv1d(1, 1, CHANNEL_KERNEL, padding=CHANNEL_KERNEL // 2, bias=False)

    def forward(self, x: Map) -> Map:
        """Return the updated pixels."""
        hidden = self.conv2(F.relu(self.conv1(F.relu(x))))
        pooled = hidden.mean((2, 3))[:, None]
        weight = rearrange(self.gate(pooled), "r 1 d -> r d 1 1").sigmoid()
        updated: Tensor = x + hidden * weight
        return updated


class MaskHead(nn.Module):
    """Logits from pixels: conv3x3, ReLU, residual pairs of conv3x3, conv3x3."""

    def __init__(self, dim: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(dim, hidden, 3, 1, 1)
        self.pairs = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(hidden, hidden, 3, 1, 1) for _ in range(2))
            for _ in range(blocks)
        )
        self.leave = nn.Conv2d(hidden, 1, 3, 1, 1)

    def forward(self, x: Map) -> Float[Tensor, "requests h w"]:
        """Return one logit a pixel."""
        hidden = F.relu(self.enter(x))
        for pair in self.pairs:
            assert isinstance(pair, nn.ModuleList)
            hidden = hidden + pair[1](F.relu(pair[0](F.relu(hidden))))
        logits: Tensor = self.leave(F.relu(hidden))
        return logits[:, 0]


class FineHead(nn.Module):
    """Logits at 1/2 from the last pixels, the encoder's 1/2 map and the marks themselves.

    Not in the paper: at 256 pixels an output at 1/4 loses vessels and thin walls.
    """

    def __init__(self, dim: int, encoder_width: int, hidden: int) -> None:
        super().__init__()
        self.from_pixels = nn.Conv2d(dim, hidden, 1)
        self.from_encoder = nn.Conv2d(encoder_width, hidden, 1)
        self.from_marks = nn.Conv2d(3, hidden, 3, 1, 1)
        self.norm = make_norm("group", hidden)
        self.conv = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.leave = nn.Conv2d(hidden, 1, 3, 1, 1)

    def forward(
        self,
        pixels: Map,
        encoder: Float[Tensor, "requests channels h2 w2"],
        marks: Float[Tensor, "requests 3 height width"] | None,
        coarse: Float[Tensor, "requests h w"],
    ) -> Float[Tensor, "requests h2 w2"]:
        """Return the coarse logits, doubled in size and corrected."""
        hidden = _resize(self.from_pixels(pixels), encoder.shape[-2:]) + self.from_encoder(encoder)
        if marks is not None:
            hidden = hidden + self.from_marks(F.avg_pool2d(marks, 2))
        hidden = F.relu(self.norm(hidden))
        correction: Tensor = self.leave(F.relu(self.conv(hidden)))
        doubled = _resize(coarse[:, None], encoder.shape[-2:])
        return (doubled + correction)[:, 0]


class DecoderLayer(nn.Module):
    """Steps 2 to 6 of one layer (specs/k-prism, section 1)."""

    def __init__(self, config: DecoderConfig, pixel_hidden: int) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.read = PixelReader(dim, heads, config.read_experts)
        self.attend = QueryAttention(dim, heads)
        self.feed = QueryFeedForward(dim, config.feed_hidden, config.feed_experts)
        self.write = PixelWriter(dim, heads, config.read_experts)
        self.pixel_feed = PixelFeedForward(dim, pixel_hidden)

    def forward(
        self,
        queries: Float[Tensor, "requests queries dim"],
        position: Float[Tensor, "requests queries dim"],
        valid: Bool[Tensor, "requests queries"],
        pixels: Map,
        allowed: Bool[Tensor, "requests queries positions"] | None,
    ) -> tuple[Float[Tensor, "requests queries dim"], Map]:
        """Return updated queries and pixels."""
        height, width = pixels.shape[-2:]
        flat = rearrange(pixels, "r d h w -> r d (h w)")
        grid = sine_grid(height, width, flat.shape[1], device=flat.device, dtype=flat.dtype)
        queries = self.read(queries, position, flat, grid, allowed)
        queries = self.attend(queries, position, valid)
        queries = self.feed(queries)
        flat = self.write(flat, grid, queries, position, valid)
        pixels = self.pixel_feed(rearrange(flat, "r d (h w) -> r d h w", h=height))
        return queries, pixels


class DecoderInput(NamedTuple):
    """Projected pixels by stride, the queries, and what only some requests have.

    `context` is the pooled reference summary by stride; its queries are the first ones.
    """

    pixels: dict[int, Map]
    sparse: Sparse
    context: dict[int, Float[Tensor, "requests queries dim"]] | None
    previous: Float[Tensor, "requests height width"] | None


@dataclass(frozen=True, eq=False)
class DecoderOutput:
    """Logits after every layer and the last pixels."""

    logits: list[Float[Tensor, "requests _ _"]]
    pixels: Map


class Decoder(nn.Module):
    """Layers over scales; each one's logits mask the next one's attention."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.level = nn.Parameter(torch.randn(len(STRIDES), config.dim) * 0.1)
        self.layers = nn.ModuleList(DecoderLayer(config, h) for h in config.pixel_hidden)
        self.resample = nn.ModuleList(
            _resampler(config.dim, before, after)
            for before, after in zip(config.strides, config.strides[1:], strict=False)
        )
        self.heads = nn.ModuleDict(
            {
                str(stride): MaskHead(config.dim, config.head_hidden, config.head_blocks)
                for stride in sorted(set(config.strides), reverse=True)
            }
        )

    def forward(self, given: DecoderInput, context_queries: ContextQueries) -> DecoderOutput:
        """Decode one request a row."""
        sparse = given.sparse
        queries, carried = sparse.content, dict(given.pixels)
        for index, stride in enumerate(STRIDES):
            if stride in carried:
                # In the pixels' own precision: float32 maps would double the traffic at 1/4.
                level = self.level[index].to(carried[stride].dtype)
                carried[stride] = carried[stride] + level[:, None, None]
        all_logits: list[Tensor] = []
        logits, pixels = _as_logits(given.previous), carried[self.config.strides[0]]
        for number, (stride, layer) in enumerate(
            zip(self.config.strides, self.layers, strict=True)
        ):
            pixels_here = carried[stride]
            if number:
                pixels_here = pixels_here + self.resample[number - 1](pixels)
            position = sparse.position
            if given.context is not None:
                summary = given.context[stride]
                first = stride not in self.config.strides[:number]
                queries, position = _add_context(
                    queries, position, summary, context_queries, add_content=first
                )
            allowed = None if logits is None else _allowed(logits, sparse, pixels_here.shape[-2:])
            queries, pixels = layer(queries, position, sparse.valid, pixels_here, allowed)
            carried[stride] = pixels
            logits = self.heads[str(stride)](pixels)
            all_logits.append(logits)
        return DecoderOutput(all_logits, pixels)


def _add_context(
    queries: Float[Tensor, "requests queries dim"],
    position: Float[Tensor, "requests queries dim"],
    summary: Float[Tensor, "requests context dim"],
    tables: ContextQueries,
    *,
    add_content: bool,
) -> tuple[Float[Tensor, "requests queries dim"], Float[Tensor, "requests queries dim"]]:
    count = summary.shape[1]
    rest = queries.shape[1] - count
    place = F.pad(tables.to_position(summary), (0, 0, 0, rest))
    if add_content:
        queries = queries + F.pad(tables.to_content(summary), (0, 0, 0, rest))
    return queries, position + place


def _allowed(
    logits: Float[Tensor, "requests h w"], sparse: Sparse, size: torch.Size
) -> Bool[Tensor, "requests queries positions"]:
    foreground = _resize(logits[:, None], size)[:, 0].flatten(1) >= 0
    return foreground[:, None] == sparse.sees_foreground[..., None]


def _as_logits(
    probability: Float[Tensor, "requests height width"] | None,
) -> Float[Tensor, "requests height width"] | None:
    return None if probability is None else probability - 0.5


def _resize(x: Float[Tensor, "r c _ _"], size: torch.Size) -> Float[Tensor, "r c _ _"]:
    return F.interpolate(x, (size[0], size[1]), mode="bilinear", align_corners=False)


def _resampler(dim: int, before: int, after: int) -> nn.Module:
    if after < before:
        factor = before // after
        return nn.ConvTranspose2d(dim, dim, factor, factor)
    factor = after // before
    return nn.Conv2d(dim, dim, factor, factor)
