"""Hermes' mechanism: learned tokens of a class and the features read each other [Hermes].

Clean-room, on slices and K-Prism's encoder. The publication has priors of tasks and of modalities,
and learns to name the modality besides; batches here carry no modality, so that its prior and its
classification are left out, and a class has several tokens instead of one. The tokens meet the
features in both directions at 1/16, 1/8 and 1/4 on the way up; the class's first token, compared
with every pixel, is the head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.models.blocks.grid import resize_linear, size_of
from medprism.models.blocks.position import sine_grid
from medprism.models.blocks.residual import ResidualBlock, make_norm
from medprism.models.blocks.two_way import Stack, TwoWayBlock
from medprism.models.segmenter import Accepts, Features, Prompts
from medprism.models.zoo.slices.frame import Maps, Rival, RivalConfig

TOKENS = 4
HEAD_WIDTH = 8
FEED = 2
# Maps on which tokens and features meet; the finest is the head's alone.
MEETINGS = 3


class Hermes(Rival):
    """What is of a class are its tokens."""

    accepts = Accepts(classes=True, references=False, clicks=False)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config)
        width = config.width
        # Deviation 1: smaller class queries hardly learn, as in K-Prism's table.
        self.priors = nn.Parameter(torch.randn(config.num_concepts, TOKENS, width))
        self.narrow = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.widths)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, width, 1, "group") for _ in self.widths[:-1]
        )
        heads = width // HEAD_WIDTH
        self.meetings = nn.ModuleList(
            TwoWayBlock(width, heads, FEED, "class", writes=True) for _ in range(MEETINGS)
        )
        self.norm = make_norm("group", width)
        self.token_norm = nn.LayerNorm(width)
        self.to_filter = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def meet(self, tokens: Stack, features: Features) -> tuple[Stack, Maps]:
        """Go up with the tokens; return them as they are in the end, and the map at 1/2."""
        narrowed = [narrow(x) for narrow, x in zip(self.narrow, features.maps, strict=True)]
        present = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        x = narrowed[-1]
        for depth, finer in enumerate(reversed(narrowed)):
            if depth:
                x = self.blocks[-depth](resize_linear(x, size_of(finer)) + finer)
            if depth < MEETINGS:
                tokens, x = self._meet_once(self.meetings[depth], tokens, present, x)
        return tokens, x

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2.

        Raises:
            PromptError: no class is named.
        """
        if prompts.concept is None:
            raise PromptError("tokens are those of a class; name one")
        tokens, x = self.meet(self.priors[prompts.concept][:, None], features)
        filters = self.to_filter(self.token_norm(tokens[:, 0, :1]))
        pixels = F.relu(self.norm(x)).flatten(2)
        logits: Tensor = (filters @ pixels)[:, 0] * self.config.width**-0.5 + self.bias
        return logits.reshape(len(x), *size_of(x))

    @staticmethod
    def _meet_once(
        block: nn.Module, tokens: Stack, present: Bool[Tensor, "requests 1"], x: Maps
    ) -> tuple[Stack, Maps]:
        place = sine_grid(x.shape[2], x.shape[3], x.shape[1], device=x.device, dtype=x.dtype)
        tokens, flat = block(tokens, present, x.flatten(2), place)
        return tokens, flat.reshape(x.shape)
