"""The CLIP-driven universal model's mechanism: a class writes the last filters [CLIPDriven].

Clean-room, at our scale. The publication embeds the names of classes with a frozen CLIP; here the
embedding is learned, as its own ablation has it, so that no text model is needed. The class's
embedding and the image's global feature make the 153 numbers of three 1x1 convolutions
(8 -> 8 -> 8 -> 1), which are applied to eight channels of the way up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.models.segmenter import Accepts, Features, Prompts
from medprism.models.zoo.slices.frame import Rival, RivalConfig, WayUp

EMBEDDING = 256
FILTER = 8
# Weights of 8 x 8, 8 x 8 and 8 x 1, then their biases.
SIZES = (FILTER * FILTER, FILTER * FILTER, FILTER, FILTER, FILTER, 1)


class ClipDriven(Rival):
    """One controller for all classes; a class is an embedding."""

    accepts = Accepts(classes=True, references=False, clicks=False)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config)
        self.way_up = WayUp(self.widths, config.width)
        self.narrow = nn.Conv2d(config.width, FILTER, 1)
        self.embedding = nn.Embedding(config.num_concepts, EMBEDDING)
        self.controller = nn.Linear(self.widths[-1] + EMBEDDING, sum(SIZES))

    def filters(self, features: Features, prompts: Prompts) -> Float[Tensor, "requests numbers"]:
        """Return the numbers of every request's three convolutions.

        Raises:
            PromptError: no class is named.
        """
        if prompts.concept is None:
            raise PromptError("the filters are made of a class; name one")
        seen = features.maps[-1].mean((2, 3))
        numbers: Tensor = self.controller(torch.cat([seen, self.embedding(prompts.concept)], 1))
        return numbers

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2."""
        numbers = torch.split(self.filters(features, prompts), list(SIZES), dim=1)
        one, two, last, bias_one, bias_two, bias = numbers
        x = self.narrow(self.way_up(features.maps))
        flat = rearrange(x, "r c h w -> r c (h w)")
        for weight, shift in ((one, bias_one), (two, bias_two)):
            square = rearrange(weight, "r (o i) -> r o i", i=FILTER)
            flat = F.relu(square @ flat + shift[..., None])
        logits: Tensor = (last[:, None] @ flat)[:, 0] + bias
        return logits.reshape(len(x), *x.shape[2:])
