"""Settings of K-Prism, one frozen value from which every part is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from medprism.core.errors import ConfigError
from medprism.models.blocks.inverted import TrunkStage
from medprism.models.blocks.residual import NormKind

# No width or number of ours comes near it; a damaged file must not ask for terabytes.
LARGEST_COUNT = 65_536


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A convolutional encoder; stage i works at 1/2^i of the canvas, from `first_stage` on.

    `widths[i]` and `blocks[i]` are its channels and residual blocks; `attention` adds a linear
    attention block (block B) to every stage below full size. The last stage is at 1/16. With
    `trunk` stages (after a stem of `trunk_stem` channels) the maps come from inverted blocks
    instead, and `widths` and `blocks` shape the top-down pyramid that fuses them.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    norm: NormKind = "group"
    attention: bool = False
    max_pool: bool = False
    trunk_stem: int = 32
    trunk: tuple[TrunkStage, ...] = ()

    def __post_init__(self) -> None:
        _check_counts("encoder", widths=self.widths, trunk_stem=self.trunk_stem)
        _check_counts("encoder", least=0 if self.trunk else 1, blocks=self.blocks)
        halvings = sum(stage.stride == 2 for stage in self.trunk)
        if self.trunk and (halvings != 4 or self.trunk[0].stride == 2 or len(self.widths) != 4):
            raise ConfigError(
                f"a trunk needs 4 widths, a first stage of stride 1 and 4 of stride 2 (from 1/2 to "
                f"1/32), got widths {self.widths} and {halvings} halvings"
            )
        if len(self.widths) != len(self.blocks) or len(self.widths) not in (4, 5):
            raise ConfigError(
                f"encoder needs 4 stages (from 1/2) or 5 (from full size), got widths "
                f"{self.widths} and blocks {self.blocks}"
            )
        if self.norm not in get_args(NormKind):
            raise ConfigError(
                f"norm {self.norm!r} is unknown; use one of {', '.join(get_args(NormKind))}"
            )
        if self.attention and any(width % 4 for width in self.widths):
            raise ConfigError(f"widths {self.widths} must be multiples of the 4 attention heads")

    @property
    def first_stage(self) -> int:
        """0 where the first stage works at full size, 1 where the stem halves it."""
        return 5 - len(self.widths)


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The mixture-of-experts decoder: one layer for each entry of `strides`.

    `pixel_hidden[i]` is the inner width of layer i's PixelFFN, `head_hidden` and `head_blocks`
    shape the mask heads (one a scale). `fine_hidden` > 0 adds an output at 1/2.
    """

    dim: int = 256
    heads: int = 8
    read_experts: int = 5
    feed_experts: int = 5
    strides: tuple[int, ...] = (16, 8, 4, 16, 8, 4)
    pixel_hidden: tuple[int, ...] = (256, 256, 256, 256, 256, 256)
    feed_hidden: int = 256
    head_hidden: int = 32
    head_blocks: int = 2
    fine_hidden: int = 0

    def __post_init__(self) -> None:
        _check_counts(
            "decoder",
            dim=self.dim,
            heads=self.heads,
            read_experts=self.read_experts,
            feed_experts=self.feed_experts,
            pixel_hidden=self.pixel_hidden,
            feed_hidden=self.feed_hidden,
            head_hidden=self.head_hidden,
        )
        _check_counts(
            "decoder", least=0, head_blocks=self.head_blocks, fine_hidden=self.fine_hidden
        )
        # Normalisation has dim / 4 groups, at most 32.
        if self.dim % self.heads or self.dim % 4 or self.dim % min(32, self.dim // 4):
            raise ConfigError(
                f"decoder dim {self.dim} must be a multiple of {self.heads} heads and of 4, and of "
                "32 from 128 on"
            )
        if len(self.pixel_hidden) != len(self.strides):
            raise ConfigError(
                f"pixel_hidden {self.pixel_hidden} needs one width for each layer {self.strides}"
            )
        if not set(self.strides) <= {16, 8, 4} or self.strides[-1] != 4:
            raise ConfigError(f"strides {self.strides} must be of 16, 8, 4 and end at 4")


@dataclass(frozen=True, kw_only=True)
class KPrismConfig:
    """Everything that shapes K-Prism's parameters.

    `num_concepts` rows of the class table, each with `class_queries` queries; `context_queries`
    queries pooled from references, the first half foreground. `normalise_keys` brings the features
    that are compared between images to unit power: without it those of the small encoders grow
    until the readout's softmax picks one position, which passes no gradient and matches at random.
    The paper compares them as they are.

    The paper's ablations of prompts: without `fuses_maps` nothing two-dimensional is fused with the
    image (readout of references, maps of marks, previous mask); without `has_queries` references
    and clicks give no queries, and queries that say nothing of the request stand in their place.
    """

    image_encoder: EncoderConfig
    mask_encoder: EncoderConfig
    prompt_widths: tuple[int, int, int, int]
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    num_concepts: int = 33
    class_queries: int = 2
    context_queries: int = 6
    click_hidden: int = 128
    normalise_keys: bool = False
    fuses_maps: bool = True
    has_queries: bool = True

    def __post_init__(self) -> None:
        _check_counts(
            "model",
            prompt_widths=self.prompt_widths,
            num_concepts=self.num_concepts,
            class_queries=self.class_queries,
            context_queries=self.context_queries,
            click_hidden=self.click_hidden,
        )
        if len(self.prompt_widths) != 4 or any(width % 8 for width in self.prompt_widths):
            raise ConfigError(
                f"prompt_widths {self.prompt_widths} must be four multiples of 8, one a halving"
            )
        if self.image_encoder.widths[-1] != self.mask_encoder.widths[-1]:
            raise ConfigError(
                "image and mask encoder must end with the same width (the readout replaces the "
                f"image feature), got {self.image_encoder.widths[-1]} and "
                f"{self.mask_encoder.widths[-1]}"
            )
        if not (isinstance(self.fuses_maps, bool) and isinstance(self.has_queries, bool)):
            raise ConfigError(
                f"fuses_maps and has_queries must be true or false, got {self.fuses_maps!r} and "
                f"{self.has_queries!r}"
            )
        if self.context_queries % 2:
            raise ConfigError(f"context_queries {self.context_queries} must be even")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> KPrismConfig:
        """Build the settings from plain data.

        Raises:
            ConfigError: a field is missing or unknown.
        """
        try:
            return cls(
                image_encoder=_encoder(payload["image_encoder"]),
                mask_encoder=_encoder(payload["mask_encoder"]),
                prompt_widths=tuple(payload["prompt_widths"]),
                decoder=DecoderConfig(**_tuples(payload["decoder"])),
                num_concepts=payload["num_concepts"],
                class_queries=payload["class_queries"],
                context_queries=payload["context_queries"],
                click_hidden=payload["click_hidden"],
                normalise_keys=payload["normalise_keys"],
                # Checkpoints from before these settings have both.
                fuses_maps=payload.get("fuses_maps", True),
                has_queries=payload.get("has_queries", True),
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"K-Prism settings are incomplete or unknown: {error}") from error


def kprism_base(num_concepts: int = 33, experts: int = 5) -> KPrismConfig:
    """Return the paper's model: 512 pixels, 40.46 M parameters with 33 classes and 5 experts."""
    return KPrismConfig(
        image_encoder=EncoderConfig(
            widths=(48, 48, 96, 192, 384), blocks=(2, 1, 1, 1, 1), norm="batch", attention=True
        ),
        mask_encoder=EncoderConfig(
            widths=(48, 48, 96, 192, 384), blocks=(2, 1, 1, 1, 1), norm="batch", max_pool=True
        ),
        prompt_widths=(256, 256, 256, 256),
        decoder=DecoderConfig(read_experts=experts, feed_experts=experts),
        num_concepts=num_concepts,
    )


# EfficientNet-Lite0 down to 1/32, without its last block of that width and without the head.
EFFICIENTNET_LITE0 = (
    TrunkStage(width=16, repeats=1, kernel=3, stride=1, expand=1),
    TrunkStage(width=24, repeats=2, kernel=3, stride=2, expand=6),
    TrunkStage(width=40, repeats=2, kernel=5, stride=2, expand=6),
    TrunkStage(width=80, repeats=3, kernel=3, stride=2, expand=6),
    TrunkStage(width=112, repeats=3, kernel=5, stride=1, expand=6),
    TrunkStage(width=192, repeats=3, kernel=5, stride=2, expand=6),
)


def kprism_compact(num_concepts: int) -> KPrismConfig:
    """Return the model for ordinary computers: 256 pixels, under 6 M parameters and 6 GFLOP."""
    return KPrismConfig(
        image_encoder=EncoderConfig(
            widths=(24, 64, 128, 192), blocks=(1, 1, 1, 0), trunk=EFFICIENTNET_LITE0
        ),
        mask_encoder=EncoderConfig(widths=(16, 32, 64, 192), blocks=(1, 1, 1, 1)),
        prompt_widths=(16, 48, 64, 64),
        decoder=DecoderConfig(
            dim=128,
            heads=4,
            read_experts=3,
            feed_experts=3,
            strides=(16, 8, 4),
            pixel_hidden=(128, 128, 48),
            feed_hidden=128,
            head_hidden=16,
            head_blocks=0,
            fine_hidden=24,
        ),
        num_concepts=num_concepts,
        normalise_keys=True,
    )


def kprism_nano(num_concepts: int) -> KPrismConfig:
    """Return a model of seconds, for tests: 64 pixels, about 0.3 M parameters."""
    return KPrismConfig(
        image_encoder=EncoderConfig(widths=(8, 16, 32, 48), blocks=(1, 1, 1, 1)),
        mask_encoder=EncoderConfig(widths=(8, 16, 24, 48), blocks=(1, 1, 1, 1)),
        prompt_widths=(8, 16, 24, 32),
        decoder=DecoderConfig(
            dim=32,
            heads=4,
            read_experts=2,
            feed_experts=2,
            strides=(16, 8, 4),
            pixel_hidden=(32, 32, 32),
            feed_hidden=32,
            head_hidden=8,
            head_blocks=1,
            fine_hidden=8,
        ),
        num_concepts=num_concepts,
        click_hidden=32,
        normalise_keys=True,
    )


def _check_counts(owner: str, *, least: int = 1, **counts: object) -> None:
    for name, value in counts.items():
        items = value if isinstance(value, tuple) else (value,)
        if not all(type(item) is int and least <= item <= LARGEST_COUNT for item in items):
            raise ConfigError(
                f"{owner} {name} must be whole numbers of at least {least} and at most "
                f"{LARGEST_COUNT}, got {value!r}"
            )


def _encoder(payload: object) -> EncoderConfig:
    fields = _tuples(payload)
    stages = tuple(TrunkStage(**stage) for stage in fields.get("trunk", ()))
    return EncoderConfig(**{**fields, "trunk": stages})


def _tuples(payload: object) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise ConfigError(f"expected named settings, got {payload!r}")
    return {key: tuple(v) if isinstance(v, list) else v for key, v in payload.items()}
