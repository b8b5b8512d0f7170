"""Settings of a run of Iris on volumes, and its learning rate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from medprism.core.errors import ConfigError
from medprism.data.volume_augment import VolumeAugmentConfig
from medprism.data.volume_episode import VolumeEpisodeConfig
from medprism.models.catalog import IRIS_PRESETS
from medprism.training.config import StageConfig

# Horizon of the bank in a short run, as a share of its steps.
BANK_SHARE: Final = 0.05
PAPER_MOMENTUM: Final = 0.999


@dataclass(frozen=True, kw_only=True)
class IrisTrainConfig:
    """A whole run. Steps are fixed at its start; everything random comes from `seed` and step.

    Lamb with `peak_rate` after the warm-up, weight decay and betas as in the paper and its authors'
    other code; `ema` averages the weights. A step takes `episodes` episodes, one after the other,
    so that sets may have windows of different size. The bank's momentum is the paper's where the
    run is long, else so small that it forgets the first twentieth of the run.
    """

    preset: str
    steps: int
    seed: int = 1
    episodes: int = 4
    peak_rate: float = 2e-3
    warmup_share: float = 0.025
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    ema: float = 0.99
    bfloat16: bool = True
    episode: VolumeEpisodeConfig = field(default_factory=VolumeEpisodeConfig)

    def __post_init__(self) -> None:
        if self.preset not in IRIS_PRESETS:
            raise ConfigError(f"no preset {self.preset!r}; there is {', '.join(IRIS_PRESETS)}")
        if self.steps < 1 or self.episodes < 1:
            raise ConfigError(
                f"a run needs at least one step and episode, got {self.steps} and {self.episodes}"
            )

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """The one stage of the run."""
        return (StageConfig(size=self.episode.side, share=1.0, requests=self.episodes),)

    def stage(self, step: int) -> StageConfig:
        """Return the stage a step belongs to: the only one."""
        return self.stages[0]

    @property
    def bank_momentum(self) -> float:
        """How much of an entry of the bank remains at each update.

        >>> IrisTrainConfig(preset="iris-nano", steps=80_000).bank_momentum
        0.999
        >>> IrisTrainConfig(preset="iris-nano", steps=1000).bank_momentum
        0.98
        """
        return min(PAPER_MOMENTUM, 1 - 1 / max(2.0, BANK_SHARE * self.steps))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> IrisTrainConfig:
        """Build the settings from plain data.

        Raises:
            ConfigError: a field is unknown or missing.
        """
        try:
            episode = dict(payload["episode"])
            augment = VolumeAugmentConfig(**_tuples(episode["augment"]))
            rest = {**_tuples(payload), "episode": None}
            rest["episode"] = VolumeEpisodeConfig(**{**episode, "augment": augment})
            return cls(**rest)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"training settings are incomplete or unknown: {error}") from error


def iris_recipe(preset: str, steps: int) -> IrisTrainConfig:
    """Return how a preset is trained on volumes.

    Raises:
        ConfigError: no such preset of volumes, or no step.

    >>> iris_recipe("iris-compact", 100).episode.side
    64
    """
    if preset not in IRIS_PRESETS:
        raise ConfigError(f"no preset {preset!r}; there is {', '.join(IRIS_PRESETS)}")
    return IrisTrainConfig(
        preset=preset,
        steps=steps,
        episode=VolumeEpisodeConfig(side=IRIS_PRESETS[preset].long_side),
    )


def iris_rate(step: int, config: IrisTrainConfig) -> float:
    """Return the rate of a step: exponential warm-up e^(10 (t / w - 1)), then (1 - t / T)^0.9.

    The paper says "exponential decay" and a warm-up of 2,000 of 80,000 steps; the form is that of
    its authors' other code.

    >>> config = IrisTrainConfig(preset="iris-nano", steps=1000)
    >>> [round(iris_rate(step, config), 6) for step in (0, 24, 500, 999)]
    [0.0, 0.001957, 0.001072, 4e-06]
    """
    warmup = max(1, round(config.warmup_share * config.steps))
    decayed: float = config.peak_rate * (1 - step / config.steps) ** 0.9
    if step + 1 >= warmup:
        return decayed
    return config.peak_rate * math.exp(10 * ((step + 1) / warmup - 1))


def _tuples(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in payload.items()}
