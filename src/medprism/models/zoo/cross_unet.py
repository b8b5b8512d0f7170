"""Cross blocks and the UNet of them: every reference crosses every query [UniverSeg].

Clean-room and in 2-D or 3-D. There is nothing to cache: a further class or query is a pass anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.models.blocks.grid import halve, make_conv, resize_linear, size_of

Query = Float[Tensor, "queries _ ..."]
References = Float[Tensor, "requests refs _ ..."]
Valid = Bool[Tensor, "requests refs"]


class CrossBlock(nn.Module):
    """Convolve every pair of query and reference, then average over references for the query.

    z_i = A(conv[u, v_i]); u' = A(conv(mean_i z_i)); v_i' = A(conv(z_i)), A a leaky ReLU.
    With `for_query_only` nothing becomes of the references: nobody reads them after a last block.
    """

    activate: Callable[[Tensor], Tensor] = staticmethod(F.leaky_relu)

    def __init__(
        self,
        ndim: int,
        queries: int,
        references: int,
        outputs: int,
        *,
        for_query_only: bool = False,
    ) -> None:
        super().__init__()
        self.cross: nn.Module = make_conv(ndim, queries + references, outputs, 3, bias=True)
        self.query: nn.Module = make_conv(ndim, outputs, outputs, 3, bias=True)
        self.reference: nn.Module | None = None
        if not for_query_only:
            self.reference = make_conv(ndim, outputs, outputs, 3, bias=True)

    def forward(
        self, query: Query, references: References, valid: Valid | None = None
    ) -> tuple[Query, References]:
        """Return both with `outputs` channels; references that are not `valid` count nothing."""
        crossed, after = self.pair(query, references)
        return self.activate(self.query(mean_of_valid(crossed, valid))), after

    def pair(self, query: Query, references: References) -> tuple[References, References]:
        """Return z_i and v_i' of every reference."""
        refs = references.shape[1]
        beside = repeat(query, "r c ... -> (r n) c ...", n=refs)
        flat = rearrange(references, "r n c ... -> (r n) c ...")
        crossed = self.activate(self.cross(torch.cat([beside, flat], 1)))
        apart = rearrange(crossed, "(r n) c ... -> r n c ...", n=refs)
        if self.reference is None:
            return apart, references
        after = self.activate(self.reference(crossed))
        return apart, rearrange(after, "(r n) c ... -> r n c ...", n=refs)


class CrossUNet(nn.Module):
    """A UNet of cross blocks; `inputs` are the channels of queries and of references.

    `make_block` takes the channels of queries, references and output, and `for_query_only`.
    """

    def __init__(
        self,
        make_block: Callable[..., CrossBlock],
        inputs: tuple[int, int],
        widths: Sequence[int],
        *,
        ndim: int = 2,
        ends_with_query: bool = True,
    ) -> None:
        super().__init__()
        down = []
        for width in widths:
            down.append(make_block(*inputs, width))
            inputs = (width, width)
        self.down = nn.ModuleList(down)
        last = len(widths) - 2
        self.up = nn.ModuleList(
            make_block(both, both, fine, for_query_only=ends_with_query and level == last)
            for level, (fine, both) in enumerate(
                zip(widths[-2::-1], map(sum, pairwise(widths[::-1])), strict=True)
            )
        )
        self.head = make_conv(ndim, widths[0], 1, 1, bias=True)

    def segment(
        self, query: Query, references: References, valid: Valid | None = None
    ) -> Float[Tensor, "queries ..."]:
        """Return a logit map a query; sides are multiples of 2^(levels - 1)."""
        skips = []
        for level, block in enumerate(self.down):
            if level:
                query, references = halve(query), _each(halve, references)
            query, references = block(query, references, valid)
            skips.append((query, references))
        for block, (fine, shown) in zip(self.up, reversed(skips[:-1]), strict=True):
            size = size_of(fine)
            query = torch.cat([resize_linear(query, size), fine], 1)
            wide = _each(partial(resize_linear, size=size), references)
            query, references = block(query, torch.cat([wide, shown], 2), valid)
        logits: Tensor = self.head(query)
        return logits[:, 0]


def mean_of_valid(references: References, valid: Valid | None = None) -> Query:
    """Return the mean over references that are `valid` (None: over all); none gives zeros.

    >>> one = torch.tensor([[[4.0], [2.0], [9.0]]])
    >>> mean_of_valid(one, torch.tensor([[True, True, False]])).tolist()
    [[3.0]]
    """
    if valid is None:
        return references.mean(1)
    weight = valid / valid.sum(1, keepdim=True).clamp(min=1)
    return (references * weight.reshape(*weight.shape, *(1,) * (references.ndim - 2))).sum(1)


def _each(change: Callable[[Tensor], Tensor], references: References) -> References:
    refs = references.shape[1]
    changed = change(rearrange(references, "r n c ... -> (r n) c ..."))
    return rearrange(changed, "(r n) c ... -> r n c ...", n=refs)
