"""Pre-norm attention between the tokens of several classes and the positions of a grid.

The weights and both exact forms of the attention are those of `blocks.attention`, with one expert.
A step adds to its input, so that its grid can be any map of a UNet.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.attention import (
    AttentionExperts,
    Pixels,
    Queries,
    read_pixels,
    write_pixels,
)

# Which tokens of a stack of classes see one another: none, those of a class, or all.
TokenSight = Literal["none", "class", "stack"]

Stack = Float[Tensor, "requests classes tokens dim"]


def check_sight(sight: str) -> None:
    """Refuse an unknown setting.

    Raises:
        ConfigError: `sight` is neither "none" nor "class" nor "stack".
    """
    if sight not in get_args(TokenSight):
        raise ConfigError(f"token_sight {sight!r} is unknown; use 'none', 'class' or 'stack'")


class ReadGrid(nn.Module):
    """Tokens attend to the positions of a grid."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = AttentionExperts(dim, heads, 1)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Queries,
        grid: Pixels,
        place: Float[Tensor, "dim positions"] | None = None,
        allowed: Bool[Tensor, "requests queries positions"] | None = None,
        *,
        literal: bool | None = None,
    ) -> Queries:
        """Return tokens + what they read; `literal` forces a form, None chooses by arithmetic."""
        keys = grid if place is None else grid + place
        normed = self.norm(tokens)
        read = read_pixels(self.attention, normed, keys, grid, allowed, literal=literal)
        return tokens + read[:, 0]


class WriteGrid(nn.Module):
    """The positions of a grid attend to the valid tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = AttentionExperts(dim, heads, 1)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        grid: Pixels,
        asking: Pixels,
        tokens: Queries,
        valid: Bool[Tensor, "requests queries"],
        *,
        literal: bool | None = None,
    ) -> Pixels:
        """Return grid + what the positions read; `asking` is the normalised grid with its place."""
        bank = self.attention
        normed = self.norm(tokens)
        # Where no token is valid, nothing is written.
        gate = valid.any(1)[:, None, None].to(grid.dtype).expand(-1, 1, grid.shape[2])
        return grid + write_pixels(bank, asking, normed, normed, valid, gate, literal=literal)


class MixTokens(nn.Module):
    """Self-attention among the tokens of each class, or of the whole stack."""

    def __init__(self, dim: int, heads: int, sight: TokenSight) -> None:
        super().__init__()
        self.attention = AttentionExperts(dim, heads, 1)
        self.norm = nn.LayerNorm(dim)
        self.sees_stack = sight == "stack"

    def forward(self, tokens: Stack, present: Bool[Tensor, "requests classes"]) -> Stack:
        """Return the updated tokens; absent classes are seen by nobody."""
        classes, length = tokens.shape[1:3]
        normed = self.norm(tokens)
        allowed = None
        if self.sees_stack:
            flat = rearrange(normed, "r k t d -> r (k t) d")
            allowed = repeat(present, "r k -> r q (k t)", q=classes * length, t=length)
        else:
            flat = rearrange(normed, "r k t d -> (r k) t d")
        turned = flat.transpose(1, 2)
        mixed = read_pixels(self.attention, flat, turned, turned, allowed, literal=True)
        return tokens + mixed.reshape(tokens.shape)


class FeedTokens(nn.Module):
    """A two-layer MLP over tokens."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.inner = nn.Linear(dim, hidden)
        self.outer = nn.Linear(hidden, dim)

    def forward(self, tokens: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        """Return the updated tokens."""
        fed: Tensor = self.outer(F.gelu(self.inner(self.norm(tokens))))
        return tokens + fed


class TwoWayBlock(nn.Module):
    """Tokens read the grid, see one another, are fed; then the grid reads the tokens.

    Bidirectional cross-attention of the mask decoder [Iris, Sec. 3]. Classes never meet except in
    what they write into the grid, unless `sight` lets their tokens see one another; with
    `writes` off they are wholly independent.
    """

    def __init__(self, dim: int, heads: int, feed: int, sight: TokenSight, *, writes: bool) -> None:
        super().__init__()
        check_sight(sight)
        self.grid_norm = nn.LayerNorm(dim)
        self.read = ReadGrid(dim, heads)
        self.mix = None if sight == "none" else MixTokens(dim, heads, sight)
        self.feed = FeedTokens(dim, dim * feed)
        self.write = WriteGrid(dim, heads) if writes else None

    def forward(
        self,
        tokens: Stack,
        present: Bool[Tensor, "requests classes"],
        grid: Pixels,
        place: Float[Tensor, "dim positions"] | None,
        *,
        literal: bool | None = None,
    ) -> tuple[Stack, Pixels]:
        """Return the updated tokens and grid."""
        classes, length = tokens.shape[1:3]
        seen = self.grid_norm(grid.transpose(1, 2)).transpose(1, 2)
        flat = self.read(rearrange(tokens, "r k t d -> r (k t) d"), seen, place, literal=literal)
        tokens = rearrange(flat, "r (k t) d -> r k t d", k=classes)
        if self.mix is not None:
            tokens = self.mix(tokens, present)
        tokens = self.feed(tokens)
        if self.write is not None:
            valid = present.repeat_interleave(length, dim=1)
            asking = seen if place is None else seen + place
            flat = rearrange(tokens, "r k t d -> r (k t) d")
            grid = self.write(grid, asking, flat, valid, literal=literal)
        return tokens, grid
