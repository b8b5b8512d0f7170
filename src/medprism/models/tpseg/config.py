"""Settings of TP-Seg, one frozen value from which every part is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from medprism.core.errors import ConfigError
from medprism.models.blocks.prototypes import BankMode, FirstSight
from medprism.models.blocks.unet import check_counts

# Which experts adapt a block: one for all tasks (SAM2-UNet's adapter), one a task (the released
# code), or both, gated (the paper's dual path).
AdapterKind = Literal["shared", "task", "dual"]
# What the trunk takes pixels as: from -2 to 2, as every model here is given them, or in deviations
# from the mean of ImageNet, as the trunks of SAM 2 have learned.
PixelScale = Literal["centred", "imagenet"]

STAGES: Final = 4
PATCH_STRIDE: Final = 4


@dataclass(frozen=True)
class AdapterPaths:
    """Which of the two experts an adapter has."""

    has_shared: bool
    has_own: bool


ADAPTER_PATHS: Final[dict[AdapterKind, AdapterPaths]] = {
    "shared": AdapterPaths(has_shared=True, has_own=False),
    "task": AdapterPaths(has_shared=False, has_own=True),
    "dual": AdapterPaths(has_shared=True, has_own=True),
}


@dataclass(frozen=True, kw_only=True)
class HieraConfig:
    """A hierarchical trunk of four stages at 1/4, 1/8, 1/16 and 1/32 [Hiera].

    `embed` channels and `heads` double from stage to stage; `blocks` and `windows` (positions a
    side) are those of each stage. The blocks numbered in `global_blocks` attend to the whole map.
    `place_grid` is the side of the coarse map of learned positions, `feed` the inner width of the
    MLPs as a multiple of the block's. Images arrive from -2 to 2; with `pixels` "imagenet" the
    trunk brings them to the scale of ImageNet first.
    """

    embed: int
    heads: int
    blocks: tuple[int, ...]
    windows: tuple[int, ...]
    global_blocks: tuple[int, ...] = ()
    place_grid: int = 7
    feed: int = 4
    pixels: PixelScale = "centred"

    def __post_init__(self) -> None:
        check_counts(
            "trunk",
            embed=self.embed,
            heads=self.heads,
            blocks=self.blocks,
            windows=self.windows,
            place_grid=self.place_grid,
            feed=self.feed,
        )
        check_counts("trunk", least=0, global_blocks=self.global_blocks)
        _check_word("pixels", self.pixels)
        if (len(self.blocks), len(self.windows)) != (STAGES, STAGES):
            raise ConfigError(
                f"a trunk has {STAGES} stages, got blocks {self.blocks} and windows {self.windows}"
            )
        if any(window % 2 for window in self.windows[:-1]):
            raise ConfigError(
                f"windows {self.windows} must be even in all stages but the last, since the next "
                "stage halves them"
            )
        if self.embed % self.heads:
            raise ConfigError(f"trunk embed {self.embed} must be a multiple of {self.heads} heads")
        if any(number >= sum(self.blocks) for number in self.global_blocks):
            raise ConfigError(
                f"global_blocks {self.global_blocks} must lie below {sum(self.blocks)} blocks"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four maps."""
        return tuple(self.embed * 2**stage for stage in range(STAGES))

    @property
    def multiple(self) -> int:
        """Every side of an image must be a multiple of this."""
        return int(PATCH_STRIDE * 2 ** (STAGES - 1))

    @classmethod
    def from_json(cls, payload: object) -> HieraConfig:
        """Build the settings from plain data.

        Raises:
            ConfigError: a field is missing, unknown or outside its range.
        """
        try:
            return cls(**_tuples(payload))
        except TypeError as error:
            raise ConfigError(f"settings of a trunk are incomplete or unknown: {error}") from error


@dataclass(frozen=True, kw_only=True)
class TaskDecoderConfig:
    """Reductions and the three prototype-guided decoders.

    `reduced` are the channels of the four reduced maps and `middles` those inside the three
    decoders, from fine to coarse; `heads` of the attention to the prototypes. `experts` generated
    kernels are mixed into one; `blend` of it is added to the identity at the start. `prior` is the
    strength of the similarity on the logits, `temperature` where it starts to saturate.
    """

    reduced: tuple[int, ...]
    middles: tuple[int, ...]
    heads: int = 4
    experts: int = 6
    blend: float = 0.3
    prior: float = 5.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_counts(
            "task decoder",
            reduced=self.reduced,
            middles=self.middles,
            heads=self.heads,
            experts=self.experts,
        )
        if (len(self.reduced), len(self.middles)) != (STAGES, STAGES - 1):
            raise ConfigError(
                f"a task decoder has {STAGES} reduced maps and {STAGES - 1} stages, got "
                f"{self.reduced} and {self.middles}"
            )
        if any(middle % (2 * self.heads) for middle in self.middles):
            raise ConfigError(
                f"middles {self.middles} must be even multiples of {self.heads} heads"
            )
        numbers = (self.blend, self.prior, self.temperature)
        if not all(isinstance(value, float) and 0 < value < 1e6 for value in numbers):
            raise ConfigError(f"blend, prior and temperature must be above 0, got {numbers}")


@dataclass(frozen=True, kw_only=True)
class TPSegConfig:
    """Everything that shapes TP-Seg's parameters.

    `adapter` says which experts adapt every block, `adapter_dim` their inner width.
    `prototype_mode` says how prototypes change: by running averages over masks, by gradients, or
    not at all; `prototype_first` what the first mask of a task does to an average. A side (lesion
    or background) that covers `least_pixels` of a map or less says nothing.
    """

    trunk: HieraConfig
    decoder: TaskDecoderConfig
    num_tasks: int = 8
    adapter: AdapterKind = "dual"
    adapter_dim: int = 64
    prototype_mode: BankMode = "ema"
    prototype_first: FirstSight = "copy"
    prototype_momentum: float = 0.995
    least_pixels: int = 10

    def __post_init__(self) -> None:
        check_counts("model", num_tasks=self.num_tasks, adapter_dim=self.adapter_dim)
        check_counts("model", least=0, least_pixels=self.least_pixels)
        for name in ("adapter", "prototype_mode", "prototype_first"):
            _check_word(name, getattr(self, name))
        momentum = self.prototype_momentum
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            raise ConfigError(f"prototype_momentum must be of 0..1, got {momentum!r}")

    @property
    def num_concepts(self) -> int:
        """Rows of the class table: a task is a concept."""
        return self.num_tasks

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> TPSegConfig:
        """Build the settings from plain data.

        Raises:
            ConfigError: a field is missing, unknown or outside its range.
        """
        try:
            parts = {
                "trunk": HieraConfig.from_json(payload["trunk"]),
                "decoder": TaskDecoderConfig(**_tuples(payload["decoder"])),
            }
            return cls(**{**payload, **parts})
        except (KeyError, TypeError) as error:
            raise ConfigError(f"TP-Seg settings are incomplete or unknown: {error}") from error


_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "adapter": get_args(AdapterKind),
    "prototype_mode": get_args(BankMode),
    "prototype_first": get_args(FirstSight),
    "pixels": get_args(PixelScale),
}


def tpseg_base(num_tasks: int = 8) -> TPSegConfig:
    """Return the paper's model: a trunk of Hiera-L's shape, 512 pixels, for a GPU."""
    return TPSegConfig(
        trunk=HieraConfig(
            embed=144,
            heads=2,
            blocks=(2, 6, 36, 4),
            windows=(8, 4, 16, 8),
            global_blocks=(23, 33, 43),
        ),
        decoder=TaskDecoderConfig(reduced=(64, 128, 256, 512), middles=(128, 128, 256)),
        num_tasks=num_tasks,
    )


def tpseg_compact(num_tasks: int) -> TPSegConfig:
    """Return the model for ordinary computers: 256 pixels, about 5 M parameters."""
    return TPSegConfig(
        trunk=HieraConfig(
            embed=32,
            heads=1,
            blocks=(1, 2, 5, 1),
            windows=(8, 4, 8, 8),
            global_blocks=(5,),
        ),
        decoder=TaskDecoderConfig(reduced=(24, 40, 64, 96), middles=(48, 48, 64)),
        num_tasks=num_tasks,
        adapter_dim=16,
        least_pixels=4,
    )


def tpseg_nano(num_tasks: int) -> TPSegConfig:
    """Return a model of seconds, for tests: 64 pixels."""
    return TPSegConfig(
        trunk=HieraConfig(
            embed=8, heads=1, blocks=(1, 1, 2, 1), windows=(4, 4, 4, 2), global_blocks=(3,)
        ),
        decoder=TaskDecoderConfig(reduced=(8, 8, 12, 16), middles=(16, 16, 16), heads=2, experts=2),
        num_tasks=num_tasks,
        adapter_dim=4,
        least_pixels=1,
    )


def _tuples(payload: object) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise ConfigError(f"expected named settings, got {payload!r}")
    return {key: tuple(v) if isinstance(v, list) else v for key, v in payload.items()}


def _check_word(name: str, word: object) -> None:
    kinds = _WORDS[name]
    if word not in kinds:
        known = ", ".join(repr(kind) for kind in kinds)
        raise ConfigError(f"{name} {word!r} is unknown; use one of {known}")
