"""How a training step fits into less memory, without learning anything else."""

from __future__ import annotations

from dataclasses import dataclass

from medprism.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """What a step trades for memory; what is learned stays the same but for rounding.

    Every process passes its share of a batch in `accumulate` parts, whose gradients add up. With
    `recompute` blocks keep only what goes into them, and compute the rest again for their
    gradients. Both belong to the machine and not to the run: a run may go on with others.
    """

    accumulate: int = 1
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ConfigError(
                f"--accumulate must be at least 1 part of a batch, got {self.accumulate}"
            )
