"""UniSeg's mechanism: one universal prompt becomes the prompt of a class on an image [UniSeg].

Clean-room, on slices and K-Prism's encoder; a task is a class here. A learned map of one channel a
class lies beside the bottleneck; a convolution over both makes one prompt map a class, and the one
that is asked for goes up with the bottleneck. The last filter is the class's own.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.models.blocks.grid import resize_linear, size_of
from medprism.models.blocks.residual import ResidualBlock
from medprism.models.segmenter import Accepts, Features, Prompts
from medprism.models.zoo.slices.frame import Maps, Rival, RivalConfig, WayUp

# The universal prompt is learned on this grid: 1/16 of 256 pixels. Others are interpolated.
GRID = 16
# As small as the features at the start, so that neither drowns the other.
FIRST_PROMPT = 0.1


class UniSeg(Rival):
    """What is of a class is a channel of the prompts and one filter."""

    accepts = Accepts(classes=True, references=False, clicks=False)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config)
        classes, coarsest = config.num_concepts, self.widths[-1]
        self.universal = nn.Parameter(FIRST_PROMPT * torch.randn(1, classes, GRID, GRID))
        self.fuse = nn.Sequential(
            ResidualBlock(coarsest + classes, coarsest, 1, "group"),
            nn.Conv2d(coarsest, classes, 3, padding=1),
        )
        self.way_up = WayUp((*self.widths[:-1], coarsest + 1), config.width)
        self.filter = nn.Embedding(classes, config.width)
        self.bias = nn.Parameter(torch.zeros(classes))

    def prompt_maps(self, coarse: Maps) -> Float[Tensor, "requests classes _ _"]:
        """Return the prompt map of every class on the images whose bottleneck is `coarse`."""
        universal = resize_linear(self.universal, size_of(coarse)).expand(len(coarse), -1, -1, -1)
        maps: Tensor = self.fuse(torch.cat([coarse, universal.to(coarse.dtype)], 1))
        return maps

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2.

        Raises:
            PromptError: no class is named.
        """
        concept = prompts.concept
        if concept is None:
            raise PromptError("one prompt map is chosen by a class; name one")
        *finer, coarse = features.maps
        rows = torch.arange(len(coarse), device=coarse.device)
        chosen = self.prompt_maps(coarse)[rows, concept][:, None]
        x = self.way_up([*finer, torch.cat([coarse, chosen], 1)])
        scores = self.filter(concept)[:, None] @ rearrange(x, "r c h w -> r c (h w)")
        logits: Tensor = scores[:, 0] * self.config.width**-0.5 + self.bias[concept][:, None]
        return logits.reshape(len(x), *size_of(x))
