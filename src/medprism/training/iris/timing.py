"""How long a step on volumes takes: the first ones are timed on a model that is thrown away."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from medprism.training.iris.config import IrisTrainConfig
from medprism.training.iris.lesson import LearnsVolumes
from medprism.training.iris.loop import DrawEpisode, train_volumes
from medprism.training.loop import Schedule
from medprism.training.timing import Clock

TIMED_STEPS: Final = 4
NEVER: Final = 10**9


def time_volume_steps(
    learner: LearnsVolumes,
    draw: DrawEpisode,
    config: IrisTrainConfig,
    clock: Clock = time.monotonic,
) -> float:
    """Return the seconds of a step; the learner is changed by it.

    The real loop runs with the run's first episodes; the first step warms up and is not counted.
    """
    watch = _Watch(clock)
    with TemporaryDirectory() as folder:
        train_volumes(
            learner,
            draw,
            replace(config, steps=TIMED_STEPS + 1),
            Path(folder),
            schedule=Schedule(save_every=NEVER, log_every=NEVER),
            validate=None,
            on_best=None,
            log=watch,
            progress=watch,
        )
    return (watch.ends[-1] - watch.ends[0]) / TIMED_STEPS


@dataclass
class _Watch:
    """A log and progress that notes when steps end."""

    clock: Clock
    ends: list[float] = field(default_factory=list)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Forget the figures."""

    def report(self, done: int, total: int, message: str = "") -> None:
        """Note the end of a step."""
        self.ends.append(self.clock())

    def is_cancelled(self) -> bool:
        """Return False."""
        return False
