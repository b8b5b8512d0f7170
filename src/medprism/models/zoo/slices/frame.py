"""What all rivals of K-Prism share, so that a comparison is one of mechanisms.

Image encoder, width and number of classes are those of one `RivalConfig`; a plain way up turns the
encoder's maps into one map at 1/2. Each rival adds its own mechanism where its publication has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError, PromptError
from medprism.models.blocks.grid import resize_linear, size_of
from medprism.models.blocks.residual import ResidualBlock, make_norm
from medprism.models.kprism.config import EncoderConfig, KPrismConfig, kprism_compact, kprism_nano
from medprism.models.kprism.encoder import make_encoder
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures

Images = Float[Tensor, "images channels height width"]
Maps = Float[Tensor, "images _ _ _"]


@dataclass(frozen=True, kw_only=True)
class RivalConfig:
    """`kprism` is the K-Prism that a rival stands beside; `width` are the channels of the way up.

    `side` is the grid of models that take images and references apart pixel by pixel, and of UNETR.
    """

    kprism: KPrismConfig
    width: int = 48
    side: int = 128

    def __post_init__(self) -> None:
        coarsest = self.encoder.widths[-1]
        if min(self.width, self.side) < 1 or self.width % 8 or self.side % 16 or coarsest % 16:
            raise ConfigError(
                f"a rival needs a width of a multiple of 8, and a side and an encoder's last width "
                f"of multiples of 16, got {self.width}, {self.side} and {coarsest}"
            )

    @property
    def encoder(self) -> EncoderConfig:
        """K-Prism's image encoder."""
        return self.kprism.image_encoder

    @property
    def num_concepts(self) -> int:
        """Rows of the class table."""
        return self.kprism.num_concepts


def rival_compact(num_concepts: int) -> RivalConfig:
    """Return the settings that go with `kprism-compact`."""
    return RivalConfig(kprism=kprism_compact(num_concepts), width=48, side=128)


def rival_nano(num_concepts: int) -> RivalConfig:
    """Return the settings that go with `kprism-nano`, for tests."""
    return RivalConfig(kprism=kprism_nano(num_concepts), width=16, side=64)


class WayUp(nn.Module):
    """From the coarsest map to the finest: raise, add the projected finer map, one block."""

    def __init__(self, inputs: Sequence[int], width: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in inputs)
        self.blocks = nn.ModuleList(ResidualBlock(width, width, 1, "group") for _ in inputs[:-1])
        self.norm = make_norm("group", width)

    def forward(self, maps: Sequence[Maps]) -> Maps:
        """Return a map of `width` channels on the grid of the first of `maps` (fine to coarse)."""
        narrowed = [narrow(x) for narrow, x in zip(self.narrow, maps, strict=True)]
        x = narrowed[-1]
        for level in reversed(range(len(self.blocks))):
            x = self.blocks[level](resize_linear(x, size_of(narrowed[level])) + narrowed[level])
        return F.relu(self.norm(x))


class Rival(nn.Module, ABC):
    """A `Segmenter` with K-Prism's image encoder; `accepts` says what it can be asked with.

    A mechanism that has no encoder of images says so; it has an `encode` of its own.
    Images of a batch do not influence one another, nothing inside remembers anything.
    """

    accepts: Accepts
    spatial_dims = 2

    def __init__(
        self, config: RivalConfig, *, extra_channels: int = 0, has_encoder: bool = True
    ) -> None:
        super().__init__()
        self.config = config
        if has_encoder:
            self.image_encoder = make_encoder(3 + extra_channels, config.encoder)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the encoder's maps at 1/2, 1/4, 1/8 and 1/16."""
        return self.config.encoder.widths[-4:]

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        return Features(self.image_encoder(image)[-4:])

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1).

        Raises:
            PromptError: the mechanism knows no references.
        """
        raise PromptError(f"{type(self).__name__} takes no references; choose another model")

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`.

        Raises:
            PromptError: a request with what the mechanism does not know, or without what it needs.
        """
        check_asked(type(self).__name__, self.accepts, prompts)
        return Decoded(self.answer(features, prompts), ())

    @abstractmethod
    def answer(
        self, features: Features, prompts: Prompts
    ) -> Float[Tensor, "requests height width"]:
        """Return the logits of every request, on a grid that divides the canvas."""


def check_asked(name: str, accepts: Accepts, prompts: Prompts) -> None:
    """Refuse what a model cannot be asked with.

    Raises:
        PromptError: a kind of knowledge that is not accepted, or none at all.
    """
    said = {
        "a class": (prompts.concept is not None, accepts.classes),
        "references": (prompts.references is not None, accepts.references),
        "clicks": (prompts.clicks is not None or prompts.dense is not None, accepts.clicks),
    }
    known = [what for what, (_, can) in said.items() if can]
    wrong = [what for what, (is_said, can) in said.items() if is_said and not can]
    if wrong or not any(is_said for is_said, _ in said.values()):
        raise PromptError(
            f"{name} is asked by {' or '.join(known)}, not by {(wrong or ['nothing'])[0]}; "
            "choose another model or another way of asking"
        )
