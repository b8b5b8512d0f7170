"""UNETR through MONAI, asked by class: a transformer over patches with a convolutional way up.

The only rival that is not on K-Prism's encoder: its encoder is its mechanism [UNETR]. It sees every
canvas on a grid of one size, `RivalConfig.side`; one output channel a class. MONAI (Apache-2.0) is
needed by nothing else here and imported when such a model is built.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError, PromptError
from medprism.models.blocks.grid import resize_linear
from medprism.models.segmenter import Accepts, Features, Prompts
from medprism.models.zoo.slices.frame import Rival, RivalConfig

HEAD_WIDTH = 32
# Width of the transformer beside that of the way up, and of its MLPs beside that.
WIDEN = 4
FEED = 2


class Unetr(Rival):
    """What `encode` keeps of an image are the answers for all classes at 1/2."""

    accepts = Accepts(classes=True, references=False, clicks=False)

    def __init__(self, config: RivalConfig) -> None:
        super().__init__(config, has_encoder=False)
        self.net = make_unetr(config)

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        side, (height, width) = self.config.side, image.shape[2:]
        scores: Tensor = self.net(resize_linear(image, (side, side)))
        return Features((resize_linear(scores, (height // 2, width // 2)),))

    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return logits at 1/2.

        Raises:
            PromptError: no class is named.
        """
        if prompts.concept is None:
            raise PromptError("a channel is chosen by a class; name one")
        scores = features.maps[0]
        return scores[torch.arange(len(scores), device=scores.device), prompts.concept]


def make_unetr(config: RivalConfig) -> nn.Module:
    """Build MONAI's network at our size.

    Raises:
        ConfigError: MONAI is not installed.
    """
    try:
        from monai.networks.nets.unetr import UNETR
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a UNETR is built of MONAI, which is not installed: pip install 'monai>=1.5'"
        ) from error
    hidden = WIDEN * config.width
    net: nn.Module = UNETR(
        in_channels=3,
        out_channels=config.num_concepts,
        img_size=(config.side, config.side),
        feature_size=config.width // 2,
        hidden_size=hidden,
        mlp_dim=FEED * hidden,
        num_heads=hidden // HEAD_WIDTH,
        spatial_dims=2,
    )
    # MONAI gives every block parts for attention to a second input, which there is none of.
    for block in net.get_submodule("vit.blocks").children():
        block.register_module("norm_cross_attn", nn.Identity())
        block.register_module("cross_attn", nn.Identity())
    return net
