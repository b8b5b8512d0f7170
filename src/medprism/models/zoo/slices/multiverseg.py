"""MultiverSeg's mechanism: cross blocks whose query brings marks and the previous mask along.

Clean-room, at the width of all rivals (the publication has 256 channels) [MultiverSeg]. With every
image that is finished the context grows and fewer marks are needed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.core.preprocess import CENTRE, SCALE
from medprism.models.segmenter import Accepts, Features, Prompts, ReferenceFeatures
from medprism.models.zoo.cross_unet import CrossBlock
from medprism.models.zoo.slices.frame import RivalConfig
from medprism.models.zoo.slices.pixels import COLOURS, PixelRival, to_grid

# Positive marks, negative marks, previous probability.
MARKS = 3
# The middle of the range of an image (0..255, standardised) and of a mask.
EMPTY = (*((255 / 2 - CENTRE) / SCALE,) * COLOURS, 0.5)


class NormedCrossBlock(CrossBlock):
    """A cross block with ReLU and a layer norm after every convolution: A(norm(conv))."""

    activate: Callable[[Tensor], Tensor] = staticmethod(F.relu)

    def __init__(
        self,
        ndim: int,
        queries: int,
        references: int,
        outputs: int,
        *,
        for_query_only: bool = False,
    ) -> None:
        super().__init__(ndim, queries, references, outputs, for_query_only=for_query_only)
        self.cross = nn.Sequential(self.cross, nn.GroupNorm(1, outputs))
        self.query = nn.Sequential(self.query, nn.GroupNorm(1, outputs))
        if self.reference is not None:
            self.reference = nn.Sequential(self.reference, nn.GroupNorm(1, outputs))


class MultiverSeg(PixelRival):
    """Asked by references, by marks or by both.

    The context of a question without references is one pair, 0.5 everywhere in image and mask.
    """

    accepts = Accepts(classes=False, references=True, clicks=True)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config, extra_channels=MARKS, block=NormedCrossBlock)

    def query(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests channels side side"]:
        """Return the canvas with marks and previous probability, on the grid.

        Raises:
            PromptError: clicks that were not drawn on the canvas.
        """
        image, dense = features.maps[0], prompts.dense
        if dense is None and prompts.clicks is not None:
            raise PromptError("marks are read from their maps on the canvas; give some")
        if dense is None:
            dense = image.new_zeros(len(image), MARKS, *image.shape[2:])
        return to_grid(torch.cat([image, dense], 1), self.config.side)

    def context(
        self, references: ReferenceFeatures | None, query: Float[Tensor, "requests _ side side"]
    ) -> tuple[Float[Tensor, "requests refs 4 side side"], Bool[Tensor, "requests refs"]]:
        """Return the references; the empty pair where none is valid."""
        if references is None:
            pictures = query.new_zeros(len(query), 1, len(EMPTY), *query.shape[2:])
            valid = torch.zeros(len(query), 1, dtype=torch.bool, device=query.device)
        else:
            pictures, valid = self.shown(references)
        empty = rearrange(query.new_tensor(EMPTY), "c -> 1 c 1 1")
        bare = ~valid.any(1, keepdim=True)
        first = torch.where(bare[..., None, None], empty, pictures[:, 0])
        return (
            torch.cat([first[:, None], pictures[:, 1:]], 1),
            torch.cat([valid[:, :1] | bare, valid[:, 1:]], 1),
        )
