"""nnInteractive's mechanism: marks and the previous mask are further channels of the image.

Clean-room, on slices and K-Prism's encoder [nnInteractive]. The image is seen anew at every click,
together with what was clicked, so nothing can be encoded once.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import PromptError
from medprism.models.segmenter import Accepts, Features, Prompts
from medprism.models.zoo.slices.frame import Rival, RivalConfig, WayUp


class EarlyFusion(Rival):
    """What `encode` keeps of an image is the image."""

    accepts = Accepts(classes=False, references=False, clicks=True)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config, extra_channels=3)
        self.way_up = WayUp(self.widths, config.width)
        self.head = nn.Conv2d(config.width, 1, 1)

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Keep the canvas."""
        return Features((image,))

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2.

        Raises:
            PromptError: nothing was drawn on the canvas.
        """
        if prompts.dense is None:
            raise PromptError("marks are read from their maps on the canvas; give some")
        maps = self.image_encoder(torch.cat([features.maps[0], prompts.dense], 1))[-4:]
        logits: Tensor = self.head(self.way_up(maps))
        return logits[:, 0]
