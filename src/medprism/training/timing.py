"""Minutes into steps: the first steps of every stage are timed once, before the run begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from torch import nn

from medprism.core.errors import CancelledError, ConfigError
from medprism.core.progress import Progress, SilentProgress
from medprism.training.batches import DrawsEpisodes
from medprism.training.config import HasStages, StageConfig, TrainConfig
from medprism.training.loop import MakeLearner, Schedule, learn_everything, train

WARM_UP: Final = 2
# The cost of a step depends on its rounds, so that few of them say little.
FEWEST: Final = 6
# The share of the minutes that timing one stage may take, once it has timed the fewest steps.
SHARE: Final = 0.02
# Room for saving, logging and a machine that slows down.
MARGIN: Final = 0.97

NEVER: Final = 10**9

# Seconds since some moment; only differences count.
Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """What was timed: seconds a step of each stage, and seconds that timing took."""

    seconds_per_step: tuple[float, ...]
    seconds_spent: float


class _Stopwatch:
    """A `Progress` that notes when steps end and stops when enough of them did."""

    def __init__(self, budget: float, fewest: int, outer: Progress, clock: Clock) -> None:
        self._clock = clock
        self._budget = budget
        self._fewest = fewest
        self._outer = outer
        self._ends: list[float] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        """Note the end of a step."""
        self._ends.append(self._clock())
        self._outer.report(0, 0, "timing")

    def is_cancelled(self) -> bool:
        """Return True once enough steps were timed; the step at hand is the last one."""
        if self._outer.is_cancelled():
            return True
        timed = len(self._ends) - WARM_UP
        return timed >= self._fewest and self._ends[-1] - self._ends[WARM_UP - 1] >= self._budget

    @property
    def seconds_per_step(self) -> float:
        """Mean over the steps after warm-up; the last one also saved its state and is left out."""
        ends = self._ends[:-1]
        return (ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP)


class _NoLog:
    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Forget the figures."""


def time_steps(
    build: Callable[[], nn.Module],
    sampler: DrawsEpisodes,
    config: TrainConfig,
    minutes: float,
    make_learner: MakeLearner = learn_everything,
    *,
    fewest: int = FEWEST,
    progress: Progress | None = None,
    clock: Clock = time.monotonic,
) -> Timing:
    """Time steps of every stage on a model that is thrown away.

    The real loop runs, with the same batches as the run's first ones; `minutes` bounds how long.
    With `time.process_time` as clock all of it is CPU time, which others on the machine leave
    alone.

    Raises:
        CancelledError: the progress asked to stop.
    """
    outer = progress or SilentProgress()
    started = clock()
    seconds = []
    for stage in config.stages:
        watch = _Stopwatch(SHARE * minutes * 60, fewest, outer, clock)
        alone = replace(config, stages=(_whole(stage),), steps=NEVER)
        with TemporaryDirectory() as folder:
            train(
                build(),
                sampler,
                alone,
                Path(folder),
                schedule=Schedule(save_every=NEVER, log_every=NEVER),
                validate=None,
                on_best=None,
                log=_NoLog(),
                progress=watch,
                make_learner=make_learner,
            )
        if outer.is_cancelled():
            raise CancelledError("stopped before the first step; start it again")
        seconds.append(watch.seconds_per_step)
    return Timing(tuple(seconds), clock() - started)


def steps_within(
    config: HasStages, timing: Timing, minutes: float, seconds_beside: float = 0.0
) -> int:
    """Return how many steps of a recipe fit into minutes, what was spent already included.

    `seconds_beside` are needed for other things than steps, such as validation.

    Raises:
        ConfigError: not even one step fits.

    >>> stages = (StageConfig(size=64, share=0.5, requests=8), StageConfig(size=96, share=0.5,
    ...     requests=8))
    >>> config = TrainConfig(preset="kprism-nano", steps=1, stages=stages)
    >>> steps_within(config, Timing((0.1, 0.3), 20.0), 2.0)
    485
    """
    mean = sum(
        stage.share * seconds
        for stage, seconds in zip(config.stages, timing.seconds_per_step, strict=True)
    )
    left = minutes * 60 - timing.seconds_spent - seconds_beside
    steps = math.floor(MARGIN * left / mean + 1e-9)
    if steps < 1:
        needed = (timing.seconds_spent + seconds_beside + mean) / 60
        raise ConfigError(
            f"{minutes:g} minutes are too few: timing, validation and one step take {needed:.1f}; "
            "give more minutes, or steps"
        )
    return steps


def _whole(stage: StageConfig) -> StageConfig:
    return replace(stage, share=1.0)
