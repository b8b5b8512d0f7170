"""Who writes the best checkpoint while a run goes on, whatever is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from medprism.training.loop import Log
from medprism.training.state import Position


@dataclass
class BestKeeper:
    """Notes which step the loop is at, and has the best checkpoint written when it is told to.

    `ship` takes the position, the weights and the metrics of a checkpoint.
    """

    ship: Callable[[Position, dict[str, Tensor], dict[str, Any]], object]
    log: Log
    step: int = 0
    started: float = field(default_factory=time.monotonic)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Pass figures on."""
        self.step = step
        self.log.scalars(step, values)

    def keep_best(self, weights: dict[str, Tensor], figures: dict[str, float]) -> None:
        """Write the checkpoint of the step that was logged last."""
        position = Position(self.step, time.monotonic() - self.started, figures["score"])
        self.ship(position, weights, {"val": figures})
