"""The three kinds of knowledge as prompts: class queries, references, clicks [KPrism, 3.2]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from medprism.models.blocks.attention import MASKED_SCORE
from medprism.models.blocks.position import fourier_points
from medprism.models.segmenter import Clicks, ReferenceFeatures

Tokens = Float[Tensor, "requests queries dim"]
EMPTY_WEIGHT = 1e-4
# Scales at which references are pooled, coarse first.
SUMMARY_STRIDES = (16, 8, 4)
FOURIER_SEED = 20260101


@dataclass(frozen=True, eq=False)
class Sparse:
    """Queries of one request batch: content, position, what they see, which are real."""

    content: Tokens
    position: Tokens
    sees_foreground: Bool[Tensor, "requests queries"]
    valid: Bool[Tensor, "requests queries"]

    @staticmethod
    def join(groups: list[Sparse]) -> Sparse:
        """Put groups of queries side by side."""
        return Sparse(
            content=torch.cat([group.content for group in groups], 1),
            position=torch.cat([group.position for group in groups], 1),
            sees_foreground=torch.cat([group.sees_foreground for group in groups], 1),
            valid=torch.cat([group.valid for group in groups], 1),
        )


class ClassTable(nn.Module):
    """Learned queries for each class: content and position [KPrism, Eq. 2]."""

    def __init__(self, num_concepts: int, queries: int, dim: int) -> None:
        super().__init__()
        # Deviation 1, not the usual 0.02: smaller class queries did not learn at all.
        self.content = nn.Parameter(torch.randn(num_concepts, queries, dim))
        self.position = nn.Parameter(torch.randn(num_concepts, queries, dim))

    def forward(self, concept: Int64[Tensor, " requests"]) -> Sparse:
        """Return the queries of each request's class; they look at the foreground."""
        content = self.content.index_select(0, concept)
        real = torch.ones(content.shape[:2], dtype=torch.bool, device=content.device)
        return Sparse(content, self.position.index_select(0, concept), real, real)


class ReferenceSummary(nn.Module):
    """Pool the mask encoder's features into queries, with learned weights [KPrism, Eq. 7].

    The weights times the soft mask (first half: foreground, second half: background) are summed
    over all positions of all references; numerator and denominator are kept apart so that more
    references add up.
    """

    def __init__(self, widths: tuple[int, ...], dim: int, queries: int) -> None:
        super().__init__()
        self.queries = queries
        self.inputs = nn.ModuleList(nn.Linear(width, dim) for width in widths)
        self.values = nn.ModuleList(_mlp(dim, dim, dim) for _ in widths)
        self.weights = nn.ModuleList(_mlp(dim, dim, queries) for _ in widths)

    def forward(
        self,
        maps: tuple[Float[Tensor, "pairs _ _ _"], ...],
        mask: Float[Tensor, "pairs height width"],
    ) -> tuple[Float[Tensor, "pairs scales queries dim"], Float[Tensor, "pairs scales queries"]]:
        """Return numerator and denominator for each scale, in the order of `maps`."""
        sums, totals = [], []
        for stride, features, linear, value, weight in zip(
            SUMMARY_STRIDES, maps, self.inputs, self.values, self.weights, strict=True
        ):
            tokens = linear(rearrange(features, "n c h w -> n (h w) c"))
            coverage = F.avg_pool2d(mask[:, None], stride)
            inside = rearrange(coverage, "n 1 h w -> n (h w) 1").expand(-1, -1, self.queries // 2)
            soft = torch.cat([inside, 1 - inside], dim=-1)
            share = weight(tokens).sigmoid() * soft
            # Means, not sums, keep the numbers in range at every size.
            sums.append(share.transpose(1, 2) @ value(tokens) / tokens.shape[1])
            totals.append(share.mean(1))
        return torch.stack(sums, 1), torch.stack(totals, 1)


class ContextQueries(nn.Module):
    """Turn the pooled references into queries: tables plus mapped summary."""

    def __init__(self, queries: int, dim: int) -> None:
        super().__init__()
        self.content = nn.Parameter(torch.randn(queries, dim))
        self.position = nn.Parameter(torch.randn(queries, dim))
        self.to_content = nn.Linear(dim, dim)
        self.to_position = nn.Linear(dim, dim)

    def forward(self, summary: Float[Tensor, "requests queries dim"]) -> Sparse:
        """Return the queries before any scale was seen; only their tables."""
        content = self.content.expand_as(summary)
        index = torch.arange(self.content.shape[0], device=summary.device)
        foreground = (index < self.content.shape[0] // 2).expand(summary.shape[:2])
        real = torch.ones_like(foreground)
        return Sparse(content, self.position.expand_as(summary), foreground, real)


def pooled_summary(references: ReferenceFeatures) -> Float[Tensor, "requests scales queries dim"]:
    """Divide the summed numerators by the summed weights; no weight gives zeros."""
    pooled: Tensor = references.summary / (references.weight[..., None] + EMPTY_WEIGHT)
    return pooled


def unit_power(x: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Scale vectors along `dim` so that their mean square is 1; zeros stay zeros."""
    precise = torch.promote_types(x.dtype, torch.float32)
    power = x.to(precise).square().mean(dim, keepdim=True)
    return x * (power + EMPTY_WEIGHT).rsqrt().to(x.dtype)


def read_references(
    query: Float[Tensor, "requests channels height width"], references: ReferenceFeatures
) -> Float[Tensor, "requests channels height width"]:
    """Carry the reference values over to the query image [KPrism, Eq. 6].

    Affinity is the negative squared distance over the root of the width (the query's own square
    cancels in the softmax), softmax over all valid positions of all references.
    """
    flat = rearrange(query, "r c h w -> r c (h w)")
    keys = references.keys
    scale = flat.shape[1] ** -0.5
    precise = torch.promote_types(keys.dtype, torch.float32)
    squares = keys.to(precise).square().sum(-1, keepdim=True).to(keys.dtype)
    affinity = (2 * keys @ flat - squares) * scale
    affinity = affinity + torch.where(references.valid, 0.0, MASKED_SCORE)[..., None]
    weights = affinity.to(precise).softmax(1).to(references.values.dtype)
    carried: Tensor = references.values.transpose(1, 2) @ weights
    return rearrange(carried, "r c (h w) -> r c h w", h=query.shape[2])


class ClickQueries(nn.Module):
    """One query a click: features around it, averaged over scales, plus its place and sign."""

    frequencies: Tensor

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.mlp = _mlp(dim, hidden, dim)
        # Rows: negative, positive, and a mark shared by all clicks.
        self.label = nn.Parameter(torch.randn(3, dim))
        generator = torch.Generator().manual_seed(FOURIER_SEED)
        self.register_buffer("frequencies", torch.randn(2, dim // 2, generator=generator))

    def forward(
        self,
        clicks: Clicks,
        maps: tuple[Float[Tensor, "requests dim _ _"], ...],
        canvas: tuple[int, int],
    ) -> Sparse:
        """Return the click queries; positive ones look at the foreground, negative at the rest."""
        pooled = torch.stack([_around(m, clicks.position, canvas) for m in maps]).mean(0)
        content = self.mlp(pooled.to(self.label.dtype))
        sign = torch.where(clicks.is_positive[..., None], self.label[1], self.label[0])
        place = fourier_points(clicks.position, self.frequencies, *canvas)
        position = place.to(content.dtype) + sign + self.label[2]
        return Sparse(content, position, clicks.is_positive, clicks.valid)


def _around(
    features: Float[Tensor, "requests dim h w"],
    position: Float[Tensor, "requests clicks 2"],
    canvas: tuple[int, int],
) -> Float[Tensor, "requests clicks dim"]:
    """Average the 3 x 3 cells around each position; the border is replicated."""
    height, width = features.shape[-2:]
    row = (position[..., 0] * height / canvas[0]).floor().long()
    col = (position[..., 1] * width / canvas[1]).floor().long()
    offsets = torch.arange(-1, 2, device=features.device)
    rows = (row[..., None, None] + offsets[:, None]).clamp(0, height - 1)
    cols = (col[..., None, None] + offsets[None, :]).clamp(0, width - 1)
    index = rearrange(rows * width + cols, "r n a b -> r 1 (n a b)")
    flat = rearrange(features, "r d h w -> r d (h w)")
    picked = flat.gather(2, index.expand(-1, flat.shape[1], -1))
    return rearrange(picked, "r d (n k) -> r n d k", k=9).mean(-1)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
