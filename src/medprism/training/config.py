"""Settings of a training run, and the plan of one step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.models.tpseg.config import HieraConfig


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """A share of the run at one canvas size; shares of all stages add up to 1."""

    size: int
    share: float
    requests: int


@runtime_checkable
class HasStages(Protocol):
    """The length of a run and its stages, which is what timing and bars need of its settings."""

    @property
    def steps(self) -> int:
        """Steps of the whole run."""

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """The stages in order."""

    def stage(self, step: int) -> StageConfig:
        """Return the stage a step belongs to."""


@dataclass(frozen=True, kw_only=True)
class PretrainedTrunk:
    """The image encoder's trunk starts from ImageNet weights (`training.pretrained`).

    Its stem and first `frozen_stages` stages stay as they are, which saves their costly backward
    pass; the others learn at `rate` times the run's rate.
    """

    frozen_stages: int = 2
    rate: float = 0.25


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """How TP-Seg learns: its trunk on all tasks together, then its adapters [TPSeg].

    For `joint_share` of the steps the adapters stay at their start and all else learns; after that
    the trunk is frozen and the adapters learn. With `kept_rows` above 0 tasks are added to a
    checkpoint: only the rows of tasks from that number on learn, all else stays bit for bit.
    """

    joint_share: float = 0.6
    kept_rows: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.joint_share <= 1 or self.kept_rows < 0:
            raise ConfigError(
                f"joint_share must be of 0..1 and kept_rows at least 0, got {self.joint_share} and "
                f"{self.kept_rows}"
            )


@dataclass(frozen=True, kw_only=True)
class TrunkOrigin:
    """Where TP-Seg's trunk came from, if not from training here: it stays as it is.

    `file` is the name of the file, `shape` what its tensors have the shape of (see
    `models.tpseg.external`), `weights_hash` names the tensors; `settings` are the trunk's own, in
    place of the preset's.
    """

    file: str
    shape: str
    weights_hash: str
    settings: HieraConfig

    @classmethod
    def from_json(cls, payload: object) -> TrunkOrigin:
        """Build the origin from plain data.

        Raises:
            ConfigError: a field is missing or unknown, or a setting of the trunk is not usable.
        """
        fields = dict(payload) if isinstance(payload, dict) else {}
        settings = HieraConfig.from_json(fields.pop("settings", None))
        names = {"file", "shape", "weights_hash"}
        if fields.keys() != names or not all(isinstance(one, str) for one in fields.values()):
            raise ConfigError(f"origin of a trunk is incomplete or unknown: {fields}")
        return cls(settings=settings, **fields)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole run. Steps are fixed at its start; everything random comes from `seed` and step.

    `odds` are those of batches asking by class, by references, by marks alone [KPrism, 4.1].
    `peak_rate` is reached after `warmup_share` of the steps and falls to `final_rate` by a cosine.
    `later_weight` scales the loss of rounds after the first; `output_weights` are those of the
    outputs from the first layer to the final map. `self_reference_until` is the share of the run
    over which an augmented copy of the query as its own reference fades out. `class_rate` is the
    rate of the class table beside the run's: a row learns only when its concept is asked for.
    `pretrained` is None for a run whose weights all start at random, `phases` for every model but
    TP-Seg, `trunk` where the trunk of TP-Seg is the preset's and learns here.
    """

    preset: str
    steps: int
    stages: tuple[StageConfig, ...]
    seed: int = 1
    odds: tuple[float, float, float] = (0.3, 0.3, 0.4)
    peak_rate: float = 8e-4
    final_rate: float = 1e-5
    warmup_share: float = 0.03
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.998
    later_weight: float = 0.8
    output_weights: tuple[float, ...] = (0.3, 0.3, 0.3, 1.0)
    self_reference_until: float = 0.4
    class_rate: float = 1.0
    bfloat16: bool = True
    pretrained: PretrainedTrunk | None = None
    phases: PhaseConfig | None = None
    trunk: TrunkOrigin | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.stages:
            raise ConfigError(
                f"a run needs at least one step and one stage, got {self.steps} steps"
            )
        if abs(sum(stage.share for stage in self.stages) - 1) > 1e-6:
            raise ConfigError(f"shares of stages must add up to 1, got {self.stages}")

    def stage(self, step: int) -> StageConfig:
        """Return the stage a step belongs to."""
        position, reached = step / self.steps, 0.0
        for stage in self.stages:
            reached += stage.share
            if position < reached:
                return stage
        return self.stages[-1]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> TrainConfig:
        """Build the settings from plain data.

        Raises:
            ConfigError: a field is unknown or missing.
        """
        try:
            stages = tuple(StageConfig(**stage) for stage in payload["stages"])
            rest: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in payload.items()
            }
            pretrained = payload["pretrained"]
            # Runs that began before there were phases, or trunks of others, have none.
            phases, trunk = payload.get("phases"), payload.get("trunk")
            parts = {
                "stages": stages,
                "pretrained": None if pretrained is None else PretrainedTrunk(**pretrained),
                "phases": None if phases is None else PhaseConfig(**phases),
                "trunk": None if trunk is None else TrunkOrigin.from_json(trunk),
            }
            return cls(**{**rest, **parts})
        except (KeyError, TypeError) as error:
            raise ConfigError(f"training settings are incomplete or unknown: {error}") from error


@dataclass(frozen=True)
class StepPlan:
    """What one batch asks with, and which of its rounds carry a gradient.

    The five request kinds are combinations: class or references or neither, and marks from the
    first round on (neither) or from the second (a refinement).
    """

    asks_class: bool
    asks_references: bool
    rounds: tuple[bool, ...]

    @property
    def name(self) -> str:
        """The kind of knowledge, for logs."""
        if self.asks_class:
            return "semantic"
        return "in-context" if self.asks_references else "interactive"


# Rounds without a gradient make long interactions cheap: the last correction still learns.
_ROUNDS_OF_KNOWLEDGE = ((True,), (True, True), (True, False, True))
_ROUNDS_OF_CLICKS = ((True,), (True, True), (True, False, True), (True, False, False, False, True))


def plan_step(seed: int, step: int, odds: tuple[float, float, float]) -> StepPlan:
    """Draw the plan of a step.

    >>> plan_step(1, 5, (1.0, 0.0, 0.0)).name
    'semantic'
    """
    rng = counter_rng(seed, step, "plan")
    kind = int(rng.choice(3, p=odds))
    if kind == 2:
        return StepPlan(
            False, False, _ROUNDS_OF_CLICKS[int(rng.choice(4, p=(0.25, 0.3, 0.25, 0.2)))]
        )
    rounds = _ROUNDS_OF_KNOWLEDGE[int(rng.choice(3, p=(0.55, 0.25, 0.2)))]
    return StepPlan(kind == 0, kind == 1, rounds)
