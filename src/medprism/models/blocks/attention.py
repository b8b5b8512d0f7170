"""Multi-head attention between few queries and many pixels, in two exact forms.

The literal form projects every pixel for every expert. The absorbed form moves the projections
to the few queries: scores are (Q W_k^T) X, outputs (P X) W_v W_o; the key bias drops out of the
softmax and the value bias adds a constant (specs/k-prism, section 4). Both are equal up to
rounding; `literal_is_cheaper` decides by arithmetic.

Tensors are channels first: pixels are (requests, dim, positions).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

Queries = Float[Tensor, "requests queries dim"]
Pixels = Float[Tensor, "requests dim positions"]

# Finite, so that a masked score never turns a softmax into NaN and exports stay safe.
MASKED_SCORE = -1e4


class AttentionExperts(nn.Module):
    """The weights of E attention experts, each laid out like torch.nn.MultiheadAttention."""

    def __init__(self, dim: int, heads: int, experts: int) -> None:
        super().__init__()
        self.dim, self.heads, self.experts = dim, heads, experts
        self.in_weight = nn.Parameter(torch.empty(experts, 3 * dim, dim))
        self.in_bias = nn.Parameter(torch.zeros(experts, 3 * dim))
        self.out_weight = nn.Parameter(torch.empty(experts, dim, dim))
        self.out_bias = nn.Parameter(torch.zeros(experts, dim))
        bound = math.sqrt(6 / (4 * dim))
        nn.init.uniform_(self.in_weight, -bound, bound)
        nn.init.uniform_(self.out_weight, -1 / math.sqrt(dim), 1 / math.sqrt(dim))

    @property
    def scale(self) -> float:
        """Scores are divided by the square root of the head width."""
        return 1 / math.sqrt(self.dim // self.heads)

    def weights(self, part: int) -> Float[Tensor, "experts heads head_dim dim"]:
        """Return the query (0), key (1) or value (2) projection split by head."""
        piece = self.in_weight[:, part * self.dim : (part + 1) * self.dim]
        return rearrange(piece, "e (h k) d -> e h k d", h=self.heads)

    def biases(self, part: int) -> Float[Tensor, "experts heads head_dim"]:
        """Return the query, key or value bias split by head."""
        piece = self.in_bias[:, part * self.dim : (part + 1) * self.dim]
        return rearrange(piece, "e (h k) -> e h k", h=self.heads)

    def project(
        self, x: Queries, part: int
    ) -> Float[Tensor, "requests heads_all queries head_dim"]:
        """Project tokens for every expert and head; heads_all = experts x heads."""
        weight = rearrange(self.in_weight, "e (p d) c -> p (e d) c", p=3)[part]
        bias = rearrange(self.in_bias, "e (p d) -> p (e d)", p=3)[part]
        projected = F.linear(x, weight, bias)
        return rearrange(projected, "r q (e h k) -> r (e h) q k", e=self.experts, h=self.heads)

    def combine(
        self, heads: Float[Tensor, "requests heads_all queries head_dim"]
    ) -> Float[Tensor, "requests experts queries dim"]:
        """Concatenate the heads of each expert and apply its output projection."""
        joined = rearrange(heads, "r (e h) q k -> e (r q) (h k)", e=self.experts)
        mapped = torch.baddbmm(self.out_bias[:, None], joined, self.out_weight.transpose(1, 2))
        return rearrange(mapped, "e (r q) d -> r e q d", r=heads.shape[0])


def literal_is_cheaper(queries: int, dim: int, experts: int, heads: int) -> bool:
    """Say which form costs fewer multiplications per pixel.

    Literal: two dim x dim projections for each expert and 2 dim a query; absorbed: 2 dim for each
    expert, head and query.

    >>> literal_is_cheaper(2, 256, 5, 8), literal_is_cheaper(60, 256, 5, 8)
    (False, True)
    """
    literal = experts * (2 * dim * dim + 2 * dim * queries)
    absorbed = experts * heads * 2 * dim * queries
    return literal < absorbed


def open_blocked_rows(
    allowed: Bool[Tensor, "requests queries positions"],
) -> Bool[Tensor, "requests queries positions"]:
    """Let a query that may see nothing see everything, without a branch."""
    return allowed | ~allowed.any(dim=-1, keepdim=True)


def read_pixels(
    experts: AttentionExperts,
    queries: Queries,
    keys: Pixels,
    values: Pixels,
    allowed: Bool[Tensor, "requests queries positions"] | None,
    *,
    literal: bool | None = None,
) -> Float[Tensor, "requests experts queries dim"]:
    """Attend from queries to pixels with every expert; `keys` carry the position, `values` not.

    `literal` forces a form; None takes the cheaper one.
    """
    if literal is None:
        literal = literal_is_cheaper(queries.shape[1], experts.dim, experts.experts, experts.heads)
    bias = None
    if allowed is not None:
        bias = torch.where(open_blocked_rows(allowed), 0.0, MASKED_SCORE).to(queries.dtype)
    q = experts.project(queries, 0) * experts.scale
    if literal:
        k = experts.project(keys.transpose(1, 2), 1)
        v = experts.project(values.transpose(1, 2), 2)
        scores = q @ k.transpose(2, 3)
        scores = scores if bias is None else scores + bias[:, None]
        return experts.combine(scores.softmax(-1) @ v)
    rows = rearrange(experts.weights(1), "e h k d -> (e h) k d")
    absorbed = rearrange(q @ rows, "r a q d -> r (a q) d")
    scores = rearrange(absorbed @ keys, "r (a q) p -> r a q p", q=queries.shape[1])
    scores = scores if bias is None else scores + bias[:, None]
    weights = rearrange(scores.softmax(-1), "r a q p -> r (a q) p")
    context = rearrange(
        weights @ values.transpose(1, 2), "r (a q) d -> r a q d", q=queries.shape[1]
    )
    columns = rearrange(experts.weights(2), "e h k d -> (e h) d k")
    offset = rearrange(experts.biases(2), "e h k -> (e h) 1 k")
    return experts.combine(context @ columns + offset)


def write_pixels(
    experts: AttentionExperts,
    pixels: Pixels,
    keys: Queries,
    values: Queries,
    valid: Bool[Tensor, "requests queries"],
    gate: Float[Tensor, "requests experts positions"],
    *,
    literal: bool | None = None,
) -> Pixels:
    """Attend from pixels (with position) to queries; the gated sum over experts.

    `literal` forces a form; None takes the cheaper one.
    """
    if literal is None:
        literal = literal_is_cheaper(keys.shape[1], experts.dim, experts.experts, experts.heads)
    bias = torch.where(valid, 0.0, MASKED_SCORE).to(pixels.dtype)
    k = experts.project(keys, 1)
    v = experts.project(values, 2)
    if literal:
        q = experts.project(pixels.transpose(1, 2), 0) * experts.scale
        scores = q @ k.transpose(2, 3) + bias[:, None, None]
        mixed = experts.combine(scores.softmax(-1) @ v)
        return (mixed * gate[..., None]).sum(1).transpose(1, 2)
    rows = rearrange(experts.weights(0), "e h k d -> (e h) k d")
    absorbed = rearrange(k @ rows, "r a q d -> r (a q) d") * experts.scale
    offset = (k * rearrange(experts.biases(0), "e h k -> (e h) 1 k")).sum(-1) * experts.scale
    scores = rearrange(absorbed @ pixels, "r (a q) p -> r a q p", q=keys.shape[1])
    weights = (scores + (offset + bias[:, None])[..., None]).softmax(2)
    weights = rearrange(weights, "r (e h) q p -> r e (h q) p", e=experts.experts)
    weights = rearrange(weights * gate[:, :, None], "r e a p -> r (e a) p")
    out = rearrange(experts.out_weight, "e d (h k) -> (e h) k d", h=experts.heads)
    written = rearrange(v @ out, "r a q d -> r d (a q)")
    return written @ weights + experts.out_bias.t() @ gate
