"""UniverSeg's mechanism: every reference crosses every query, for one class a pass [UniverSeg].

Clean-room and in 2-D or 3-D; widths follow the publication (four levels of 64 channels and about
1.2 M parameters in 2-D). There is nothing to cache: a further class or query is a pass anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.models.blocks.grid import check_ndim
from medprism.models.zoo.cross_unet import CrossBlock, CrossUNet


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


class UniverSeg(CrossUNet):
    """The publication's size and layout; one logit map a request, which asks for one class."""

    def __init__(self, config: UniverSegConfig) -> None:
        super().__init__(
            partial(CrossBlock, config.ndim),
            (config.channels, config.channels + 1),
            config.widths,
            ndim=config.ndim,
            ends_with_query=False,
        )
        self.config = config

    def forward(
        self,
        image: Float[Tensor, "requests channels ..."],
        reference: Float[Tensor, "requests refs channels ..."],
        mask: Float[Tensor, "requests refs ..."],
    ) -> Float[Tensor, "requests ..."]:
        """Segment every image by its references; sides are multiples of 2^(levels - 1)."""
        return self.segment(image, torch.cat([reference, mask[:, :, None]], 2))
