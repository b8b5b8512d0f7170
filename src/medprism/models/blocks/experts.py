"""Dense mixtures of experts: all experts run, a softmax gate mixes them [KPrism, Eq. 10-11].

With one expert there is no gate, which is the ablation "without MoE".
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.models.blocks.attention import (
    AttentionExperts,
    Pixels,
    Queries,
    read_pixels,
    write_pixels,
)


class PixelReader(nn.Module):
    """Queries attend to pixels; gate per query from the un-positioned input; residual, norm."""

    def __init__(self, dim: int, heads: int, experts: int) -> None:
        super().__init__()
        self.experts = AttentionExperts(dim, heads, experts)
        self.gate = nn.Linear(dim, experts) if experts > 1 else None
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        queries: Queries,
        query_position: Queries,
        pixels: Pixels,
        pixel_position: Float[Tensor, "dim positions"],
        allowed: Bool[Tensor, "requests queries positions"] | None,
        literal: bool | None = None,
    ) -> Queries:
        """Return the updated queries; `literal` forces a form, None chooses by arithmetic."""
        bank = self.experts
        outputs = read_pixels(
            bank,
            queries + query_position,
            pixels + pixel_position,
            pixels,
            allowed,
            literal=literal,
        )
        if self.gate is None:
            mixed = outputs[:, 0]
        else:
            weight = self.gate(queries).softmax(-1)
            mixed = (outputs * rearrange(weight, "r q e -> r e q 1")).sum(1)
        normed: Tensor = self.norm(queries + mixed)
        return normed


class PixelWriter(nn.Module):
    """Pixels attend to queries; gate per pixel from the un-positioned input; residual, norm."""

    def __init__(self, dim: int, heads: int, experts: int) -> None:
        super().__init__()
        self.experts = AttentionExperts(dim, heads, experts)
        self.gate = nn.Linear(dim, experts) if experts > 1 else None
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        pixels: Pixels,
        pixel_position: Float[Tensor, "dim positions"],
        queries: Queries,
        query_position: Queries,
        valid: Bool[Tensor, "requests queries"],
        literal: bool | None = None,
    ) -> Pixels:
        """Return the updated pixels."""
        bank = self.experts
        if self.gate is None:
            gate = torch.ones_like(pixels[:, :1])
        else:
            scores = self.gate.weight @ pixels + self.gate.bias[:, None]
            gate = scores.softmax(1).to(pixels.dtype)
        written = write_pixels(
            bank,
            pixels + pixel_position,
            queries + query_position,
            queries,
            valid,
            gate,
            literal=literal,
        )
        normed: Tensor = self.norm((pixels + written.to(pixels.dtype)).transpose(1, 2))
        return normed.to(pixels.dtype).transpose(1, 2)


class QueryAttention(nn.Module):
    """Plain self-attention over the valid queries; residual, norm. Never a mixture."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = AttentionExperts(dim, heads, 1)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, queries: Queries, position: Queries, valid: Bool[Tensor, "requests queries"]
    ) -> Queries:
        """Return the updated queries; padding is seen by nobody."""
        placed = (queries + position).transpose(1, 2)
        allowed = valid[:, None].expand(-1, queries.shape[1], -1)
        mixed = read_pixels(
            self.attention,
            queries + position,
            placed,
            queries.transpose(1, 2),
            allowed,
            literal=True,
        )
        normed: Tensor = self.norm(queries + mixed[:, 0])
        return normed


class QueryFeedForward(nn.Module):
    """A mixture of two-layer MLPs over queries; residual, norm."""

    def __init__(self, dim: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.weight1 = nn.Parameter(torch.empty(experts, hidden, dim))
        self.bias1 = nn.Parameter(torch.zeros(experts, hidden))
        self.weight2 = nn.Parameter(torch.empty(experts, dim, hidden))
        self.bias2 = nn.Parameter(torch.zeros(experts, dim))
        self.gate = nn.Linear(dim, experts) if experts > 1 else None
        self.norm = nn.LayerNorm(dim)
        for weight in (self.weight1, self.weight2):
            bound = (6 / (weight.shape[1] + weight.shape[2])) ** 0.5
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, queries: Queries) -> Queries:
        """Return the updated queries."""
        flat = rearrange(queries, "r q d -> 1 (r q) d").expand(self.weight1.shape[0], -1, -1)
        hidden = torch.baddbmm(self.bias1[:, None], flat, self.weight1.transpose(1, 2)).relu()
        outputs = torch.baddbmm(self.bias2[:, None], hidden, self.weight2.transpose(1, 2))
        outputs = rearrange(outputs, "e (r q) d -> r q e d", r=queries.shape[0])
        if self.gate is None:
            mixed = outputs[:, :, 0]
        else:
            weight = self.gate(queries).softmax(-1)
            mixed = (outputs * weight[..., None]).sum(2)
        normed: Tensor = self.norm(queries + mixed)
        return normed
