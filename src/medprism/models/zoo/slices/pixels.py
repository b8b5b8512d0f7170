"""What rivals share that cross the pixels of a query with those of its references.

They have no encoder of images, K-Prism's or another: that is their mechanism. Query and references
go through the cross blocks together, on a grid of `RivalConfig.side`, anew for every question.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from medprism.core.errors import PromptError
from medprism.models.blocks.grid import resize_linear
from medprism.models.segmenter import Accepts, Features, Prompts, ReferenceFeatures
from medprism.models.zoo.cross_unet import CrossBlock, CrossUNet
from medprism.models.zoo.slices.frame import Rival, RivalConfig

LEVELS = 4
# Red, green, blue; the mask of a reference is its fourth channel.
COLOURS = 3


class PixelRival(Rival):
    """What it keeps of an image is the canvas, and of a reference its pixels and mask.

    `keys` of references are their pixels on the common grid, `values` those of their masks; there
    is nothing to pool. Four levels as in the publication, with the width that all rivals have.
    """

    accepts = Accepts(classes=False, references=True, clicks=False)

    def __init__(
        self,
        config: RivalConfig,
        *,
        extra_channels: int = 0,
        block: Callable[..., CrossBlock] = CrossBlock,
    ) -> None:
        super().__init__(config, has_encoder=False)
        widths = (config.width,) * LEVELS
        inputs = (COLOURS + extra_channels, COLOURS + 1)
        self.crossing = CrossUNet(partial(block, 2), inputs, widths)

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Keep the canvas."""
        return Features((image,))

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Bring reference images and their masks (coverage in 0..1) to the grid."""
        requests, refs = valid.shape
        side = self.config.side
        shown = torch.cat([image, mask[:, :, None]], 2).flatten(0, 1)
        positions = rearrange(to_grid(shown, side), "(n r) c h w -> n (r h w) c", n=requests)
        nothing = image.new_zeros(requests, 1, 0)
        return ReferenceFeatures(
            keys=positions[..., :COLOURS],
            values=positions[..., COLOURS:],
            valid=repeat(valid, "n r -> n (r p)", p=side * side),
            summary=nothing[..., None],
            weight=nothing,
        )

    def shown(
        self, references: ReferenceFeatures
    ) -> tuple[Float[Tensor, "requests refs 4 side side"], Bool[Tensor, "requests refs"]]:
        """Return references as pictures with their masks, and which of them are real."""
        side = self.config.side
        positions = torch.cat([references.keys, references.values], 2)
        pictures = rearrange(positions, "n (r h w) c -> n r c h w", h=side, w=side)
        valid = rearrange(references.valid, "n (r p) -> n r p", p=side * side).all(2)
        return pictures, valid

    def query(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests channels side side"]:
        """Return what is crossed with the references: the canvas on the grid."""
        return to_grid(features.maps[0], self.config.side)

    def context(
        self, references: ReferenceFeatures | None, query: Float[Tensor, "requests _ side side"]
    ) -> tuple[Float[Tensor, "requests refs 4 side side"], Bool[Tensor, "requests refs"]]:
        """Return what the query is crossed with.

        Raises:
            PromptError: no references.
        """
        if references is None:
            raise PromptError("what is meant is read from references; show some")
        return self.shown(references)

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits on the canvas."""
        query = self.query(features, prompts)
        logits = self.crossing.segment(query, *self.context(prompts.references, query))
        return to_canvas(logits[:, None], features)[:, 0]


def to_grid(
    pictures: Float[Tensor, "pictures channels height width"], side: int
) -> Float[Tensor, "pictures channels side side"]:
    """Interpolate bilinearly; every pixel counts where the grid is coarser than the canvas.

    >>> picture = torch.zeros(1, 1, 8, 8)
    >>> picture[..., :4] = 1.0
    >>> round(to_grid(picture, 2).mean().item(), 4)
    0.5
    """
    if pictures.shape[2:] == (side, side):
        return pictures
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)


def to_canvas(
    logits: Float[Tensor, "requests maps side side"], features: Features
) -> Float[Tensor, "requests maps height width"]:
    """Bring logits to the grid of the canvas."""
    height, width = features.maps[0].shape[2:]
    return resize_linear(logits, (height, width))
