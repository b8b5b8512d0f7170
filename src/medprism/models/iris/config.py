"""Settings of Iris, one frozen value from which every part is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from medprism.core.errors import ConfigError
from medprism.models.blocks.masked_pool import PoolKind, check_pool
from medprism.models.blocks.two_way import TokenSight, check_sight
from medprism.models.blocks.unet import BodyConfig, check_counts

# How the mask enters the context stream: at full resolution by PixelShuffle (the paper's), through
# a strided convolution (K-Prism's Iris), or brought to the feature grid (no high-resolution masks).
MaskEntry = Literal["shuffle", "strided", "coarse"]


# A class of slices is met at every sixth step or so, and a run here has some thousand steps: what
# was said fifty meetings ago should be forgotten. Volumes follow the run's length instead.
SLICE_MOMENTUM: Final = 0.98


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The task encoder: a reference and its masks become tokens.

    It looks at the encoder's map at 1 / `stride`. `dim` is the width of tokens, `detail` the
    channels c of the context stream at full resolution: the map has c * stride^ndim channels
    there, by a 1x1 convolution where its own number differs. `queries` tokens are read by `layers`
    rounds of attention; 0 leaves the context stream out, `has_foreground` the foreground stream.
    With "coarse" masks both streams see the mask on the feature grid only.
    """

    stride: int
    dim: int
    detail: int = 1
    queries: int = 10
    layers: int = 2
    heads: int = 8
    feed: int = 4
    has_foreground: bool = True
    mask_entry: MaskEntry = "shuffle"
    pooling: PoolKind = "area"
    reads_foreground_only: bool = False
    has_position: bool = True

    def __post_init__(self) -> None:
        check_counts(
            "task encoder",
            stride=self.stride,
            dim=self.dim,
            detail=self.detail,
            heads=self.heads,
            feed=self.feed,
        )
        check_counts("task encoder", least=0, queries=self.queries, layers=self.layers)
        check_pool(self.pooling)
        if self.mask_entry not in get_args(MaskEntry):
            raise ConfigError(
                f"mask_entry {self.mask_entry!r} is unknown; use 'shuffle', 'strided' or 'coarse'"
            )
        if self.dim % self.heads:
            raise ConfigError(f"task dim {self.dim} must be a multiple of {self.heads} heads")
        if self.tokens < 1 or (self.queries and not self.layers):
            raise ConfigError(
                "a task needs the foreground stream, or query tokens and at least one layer that "
                f"reads them, got {self.queries} queries and {self.layers} layers"
            )

    @property
    def tokens(self) -> int:
        """Tokens of one class: the foreground token and the query tokens."""
        return self.queries + int(self.has_foreground)


@dataclass(frozen=True, kw_only=True)
class MaskDecoderConfig:
    """The mask decoder: two-way attention on the coarsest maps of the way up, then dot products.

    `blocks` are the numbers of two-way blocks from the deepest map on; levels beyond have none.
    `token_sight` says which tokens see one another; `writes` lets the maps read the tokens, which
    is how classes meet. `head_dim` is the width of the vectors that are compared at full size,
    `head_hidden` of the MLP that makes one of each class.
    """

    blocks: tuple[int, ...] = (2, 1, 1)
    head_width: int = 32
    feed: int = 4
    token_sight: TokenSight = "class"
    writes: bool = True
    has_position: bool = True
    head_dim: int = 32
    head_hidden: int = 128

    def __post_init__(self) -> None:
        check_counts(
            "mask decoder",
            head_width=self.head_width,
            feed=self.feed,
            head_dim=self.head_dim,
            head_hidden=self.head_hidden,
        )
        check_counts("mask decoder", least=0, blocks=self.blocks)
        check_sight(self.token_sight)
        if not self.blocks or not self.blocks[0]:
            raise ConfigError(
                f"the deepest map needs a two-way block at least, got blocks {self.blocks}"
            )


@dataclass(frozen=True, kw_only=True)
class IrisConfig:
    """Everything that shapes Iris' parameters.

    `num_concepts` rows of the bank of seen classes, moved by `bank_momentum` at every update.
    """

    body: BodyConfig
    task: TaskConfig
    decoder: MaskDecoderConfig
    num_concepts: int = 85
    bank_momentum: float = 0.999

    def __post_init__(self) -> None:
        check_counts("model", num_concepts=self.num_concepts)
        if not isinstance(self.bank_momentum, float) or not 0 <= self.bank_momentum <= 1:
            raise ConfigError(f"bank_momentum must be of 0..1, got {self.bank_momentum!r}")
        levels = len(self.body.widths)
        if self.task.stride not in {2**level for level in range(1, levels)}:
            raise ConfigError(
                f"task stride {self.task.stride} must be that of a map of the encoder: 2 to "
                f"{self.body.multiple} in powers of two"
            )
        if len(self.decoder.blocks) >= levels:
            raise ConfigError(
                f"blocks {self.decoder.blocks} name more than the {levels - 1} maps below full size"
            )
        for width in self.body.widths[::-1][: len(self.decoder.blocks)]:
            if width % heads_of(width, self.decoder.head_width):
                raise ConfigError(
                    f"a map of {width} channels cannot be split into heads of about "
                    f"{self.decoder.head_width}; choose a divisor"
                )

    @property
    def task_level(self) -> int:
        """Which of the encoder's maps the task encoder sees."""
        return self.task.stride.bit_length() - 1

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> IrisConfig:
        """Build the settings from plain data.

        Raises:
            ConfigError: a field is missing, unknown or outside its range.
        """
        try:
            return cls(
                body=BodyConfig(**_tuples(payload["body"])),
                task=TaskConfig(**_tuples(payload["task"])),
                decoder=MaskDecoderConfig(**_tuples(payload["decoder"])),
                num_concepts=payload["num_concepts"],
                bank_momentum=payload["bank_momentum"],
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"Iris settings are incomplete or unknown: {error}") from error


def heads_of(width: int, head_width: int) -> int:
    """Return the number of attention heads of a map.

    >>> heads_of(512, 32), heads_of(16, 32)
    (16, 1)
    """
    return max(1, width // head_width)


def iris_base(num_concepts: int = 85) -> IrisConfig:
    """Return the paper's model: volumes of 128^3 voxels, about 69 M parameters."""
    return IrisConfig(
        body=BodyConfig(
            ndim=3,
            channels=1,
            widths=(32, 64, 128, 256, 512),
            down_blocks=(2, 2, 2, 2, 2),
            up_blocks=(2, 2, 2, 2),
            shortcut_kernel=3,
        ),
        task=TaskConfig(stride=4, dim=128, detail=2),
        decoder=MaskDecoderConfig(token_sight="none"),
        num_concepts=num_concepts,
    )


def iris_compact(num_concepts: int) -> IrisConfig:
    """Return the model for volumes on ordinary computers: 64^3 voxels, about 5 M parameters."""
    return IrisConfig(
        body=BodyConfig(
            ndim=3,
            channels=1,
            widths=(16, 32, 64, 96, 128),
            down_blocks=(1, 2, 2, 2, 2),
            up_blocks=(1, 1, 1, 1),
            skip="add",
        ),
        task=TaskConfig(stride=4, dim=64, detail=1, heads=4),
        decoder=MaskDecoderConfig(head_width=16, head_dim=16, head_hidden=64),
        num_concepts=num_concepts,
    )


def iris_compact_2d(num_concepts: int) -> IrisConfig:
    """Return the model for slices and pictures: 256 pixels, about 5 M parameters."""
    return IrisConfig(
        body=BodyConfig(
            ndim=2,
            channels=3,
            widths=(16, 48, 96, 128, 192),
            down_blocks=(1, 2, 2, 2, 2),
            up_blocks=(1, 1, 1, 1),
            skip="add",
        ),
        task=TaskConfig(stride=4, dim=96, detail=6),
        decoder=MaskDecoderConfig(head_width=32, head_dim=16, head_hidden=96),
        num_concepts=num_concepts,
        bank_momentum=SLICE_MOMENTUM,
    )


def iris_kprism2d(num_concepts: int = 33) -> IrisConfig:
    """Return what K-Prism's tables call Iris: a simplified task encoder in 2-D [KPrism, release].

    Foreground by the mean over the whole image (the area is not divided out), the mask through a
    strided convolution, two query tokens and one layer that reads the foreground only. The
    release's features are those of a UTNet; here they are a residual UNet's of the same widths.
    """
    return IrisConfig(
        body=BodyConfig(
            ndim=2,
            channels=3,
            widths=(48, 48, 96, 192, 384),
            down_blocks=(1, 1, 1, 1, 1),
            up_blocks=(1, 1, 1, 1),
            norm="group",
        ),
        task=TaskConfig(
            stride=4,
            dim=256,
            queries=2,
            layers=1,
            feed=1,
            mask_entry="strided",
            pooling="space",
            reads_foreground_only=True,
        ),
        decoder=MaskDecoderConfig(),
        num_concepts=num_concepts,
        bank_momentum=SLICE_MOMENTUM,
    )


def iris_nano_2d(num_concepts: int) -> IrisConfig:
    """Return the slices' model of seconds, for tests; its bank forgets as fast."""
    return replace(iris_nano(num_concepts, 2), bank_momentum=0.9)


def iris_nano(num_concepts: int, ndim: int = 3) -> IrisConfig:
    """Return a model of seconds, for tests: 32^3 voxels or 64^2 pixels, 0.2 M parameters."""
    return IrisConfig(
        body=BodyConfig(
            ndim=ndim,
            channels=1 if ndim == 3 else 3,
            widths=(8, 12, 16, 24, 32),
            down_blocks=(1, 1, 1, 1, 1),
            up_blocks=(1, 1, 1, 1),
            norm="group",
            skip="add",
        ),
        task=TaskConfig(stride=4, dim=16, queries=3, layers=1, heads=2, feed=2),
        decoder=MaskDecoderConfig(blocks=(1, 1), head_width=8, feed=2, head_dim=8, head_hidden=16),
        num_concepts=num_concepts,
    )


def _tuples(payload: object) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise ConfigError(f"expected named settings, got {payload!r}")
    return {key: tuple(v) if isinstance(v, list) else v for key, v in payload.items()}
