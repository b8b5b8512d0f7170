"""UniverSeg's mechanism: every reference crosses every query, for one class a pass [UniverSeg].

Clean-room and in 2-D or 3-D; widths follow the publication (four levels of 64 channels and about
1.2 M parameters in 2-D). There is nothing to cache: a further class or query is a pass anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.grid import check_ndim, halve, make_conv, resize_linear, size_of

Query = Float[Tensor, "requests _ ..."]
References = Float[Tensor, "requests refs _ ..."]


@dataclass(frozen=True, kw_only=True)
class UniverSegConfig:
    """`widths` are the channels of the levels, each half the size of the one before."""

    ndim: int = 2
    channels: int = 1
    widths: tuple[int, ...] = (64, 64, 64, 64)

    def __post_init__(self) -> None:
        check_ndim(self.ndim)
        if self.channels < 1 or len(self.widths) < 2 or min(self.widths) < 1:
            raise ConfigError(
                f"a UniverSeg needs at least 1 channel and 2 positive widths, got {self.channels} "
                f"and {self.widths}"
            )


class CrossBlock(nn.Module):
    """Convolve every pair of query and reference, then average over references for the query.

    z_i = A(conv[u, v_i]); u' = A(conv(mean_i z_i)); v_i' = A(conv(z_i)), A a leaky ReLU.
    """

    def __init__(self, ndim: int, queries: int, references: int, outputs: int) -> None:
        super().__init__()
        self.cross = make_conv(ndim, queries + references, outputs, 3, bias=True)
        self.query = make_conv(ndim, outputs, outputs, 3, bias=True)
        self.reference = make_conv(ndim, outputs, outputs, 3, bias=True)

    def forward(self, query: Query, references: References) -> tuple[Query, References]:
        """Return both with `outputs` channels."""
        refs = references.shape[1]
        beside = repeat(query, "r c ... -> (r n) c ...", n=refs)
        flat = rearrange(references, "r n c ... -> (r n) c ...")
        crossed = F.leaky_relu(self.cross(torch.cat([beside, flat], 1)))
        apart = rearrange(crossed, "(r n) c ... -> r n c ...", n=refs)
        after = F.leaky_relu(self.reference(crossed))
        return (
            F.leaky_relu(self.query(apart.mean(1))),
            rearrange(after, "(r n) c ... -> r n c ...", n=refs),
        )


class UniverSeg(nn.Module):
    """A UNet of cross blocks; one logit map a request, which asks for one class."""

    def __init__(self, config: UniverSegConfig) -> None:
        super().__init__()
        self.config = config
        ndim, widths = config.ndim, config.widths
        inputs = (config.channels, config.channels + 1)
        down = []
        for width in widths:
            down.append(CrossBlock(ndim, *inputs, width))
            inputs = (width, width)
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(
            CrossBlock(ndim, coarse + fine, coarse + fine, fine)
            for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = make_conv(ndim, widths[0], 1, 1, bias=True)

    def forward(
        self,
        image: Float[Tensor, "requests channels ..."],
        reference: Float[Tensor, "requests refs channels ..."],
        mask: Float[Tensor, "requests refs ..."],
    ) -> Float[Tensor, "requests ..."]:
        """Segment every image by its references; sides are multiples of 2^(levels - 1)."""
        query, references = image, torch.cat([reference, mask[:, :, None]], 2)
        skips = []
        for level, block in enumerate(self.down):
            if level:
                query, references = halve(query), _each(halve, references)
            query, references = block(query, references)
            skips.append((query, references))
        for block, (fine, shown) in zip(self.up, reversed(skips[:-1]), strict=True):
            size = size_of(fine)
            query = torch.cat([resize_linear(query, size), fine], 1)
            wide = _each(partial(resize_linear, size=size), references)
            query, references = block(query, torch.cat([wide, shown], 2))
        logits: Tensor = self.head(query)
        return logits[:, 0]


def _each(change: Callable[[Tensor], Tensor], references: References) -> References:
    refs = references.shape[1]
    changed = change(rearrange(references, "r n c ... -> (r n) c ..."))
    return rearrange(changed, "(r n) c ... -> r n c ...", n=refs)
