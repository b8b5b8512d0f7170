"""SegNext's mechanism: an image is encoded once, and marks join it late, as a map [SegNext].

Clean-room, on slices and K-Prism's encoder (not the backbone of that name). Marks and the previous
mask are cut into patches, one vector each, and added to the deepest map; self-attention there lets
a mark speak to the whole image.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.models.blocks.position import sine_grid
from medprism.models.blocks.two_way import FeedTokens, MixTokens
from medprism.models.segmenter import Accepts, Features, Prompts
from medprism.models.zoo.slices.frame import Maps, Rival, RivalConfig, WayUp

PATCH = 16
BLOCKS = 2
HEAD_WIDTH = 16
FEED = 2


class SelfAttention(nn.Module):
    """All positions of a map attend to one another, then each is fed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = MixTokens(dim, dim // HEAD_WIDTH, "class")
        self.feed = FeedTokens(dim, FEED * dim)

    def forward(self, x: Float[Tensor, "requests positions dim"]) -> Tensor:
        """Return the updated positions."""
        present = torch.ones(len(x), 1, dtype=torch.bool, device=x.device)
        fed: Tensor = self.feed(self.mix(x[:, None], present))
        return fed[:, 0]


class LateFusion(Rival):
    """What follows a click is the attention at 1/16 and the way up."""

    accepts = Accepts(classes=False, references=False, clicks=True)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config)
        coarsest = self.widths[-1]
        self.patches = nn.Conv2d(3, coarsest, PATCH, PATCH)
        self.attention = nn.Sequential(*(SelfAttention(coarsest) for _ in range(BLOCKS)))
        self.way_up = WayUp(self.widths, config.width)
        self.head = nn.Conv2d(config.width, 1, 1)

    def fuse(self, coarse: Maps, dense: Float[Tensor, "requests 3 height width"]) -> Maps:
        """Return the deepest map with what was drawn on the canvas."""
        x = coarse + self.patches(dense)
        height, width = x.shape[2:]
        place = sine_grid(height, width, x.shape[1], device=x.device, dtype=x.dtype)
        attended: Tensor = self.attention(rearrange(x.flatten(2) + place, "r d p -> r p d"))
        return rearrange(attended, "r (h w) d -> r d h w", h=height)

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2.

        Raises:
            PromptError: nothing was drawn on the canvas.
        """
        if prompts.dense is None:
            raise PromptError("marks are read from their maps on the canvas; give some")
        *finer, coarse = features.maps
        logits: Tensor = self.head(self.way_up([*finer, self.fuse(coarse, prompts.dense)]))
        return logits[:, 0]
