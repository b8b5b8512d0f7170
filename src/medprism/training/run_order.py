"""What a training run is asked to do, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medprism.core.errors import ConfigError
from medprism.training.config import TrainConfig
from medprism.training.recipes import RECIPES
from medprism.training.run_length import check_length, check_seed


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """How a run is to be started: `steps` or `minutes`, one of the two.

    `seed` takes the place of the recipe's. `licences` limits the training sets by kind (see
    `data.licence`); `start` is a checkpoint to begin with. `synthetic` and `task_change` are shares
    of images (see `EpisodeConfig`). Of TP-Seg, `tasks` names those to learn (none is all), `added`
    those that are added to the checkpoint.
    """

    recipe: str
    store: Path
    steps: int | None = None
    minutes: float | None = None
    seed: int | None = None
    licences: tuple[str, ...] = ()
    start: Path | None = None
    synthetic: float = 0.0
    task_change: float = 0.0
    tasks: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    trunk: Path | None = None

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ConfigError(f"no recipe {self.recipe!r}; there is {', '.join(RECIPES)}")
        check_length("the run", self.steps, self.minutes)
        check_seed(self.seed)
        self._check_tasks()
        self._check_trunk()

    def config(self) -> TrainConfig:
        """Return the recipe's settings with this order's seed; a run in minutes has one step."""
        config = RECIPES[self.recipe](1 if self.steps is None else self.steps)
        return config if self.seed is None else replace(config, seed=self.seed)

    def _check_tasks(self) -> None:
        has_tasks = RECIPES[self.recipe](1).phases is not None
        if not has_tasks and (self.tasks or self.added):
            raise ConfigError(
                f"{self.recipe} learns all classes of its sets; --tasks and --add-task are for the "
                "recipes of TP-Seg"
            )
        if has_tasks and (self.synthetic or self.task_change):
            raise ConfigError(
                f"{self.recipe} is asked by task alone; --synthetic and --task-change are for "
                "recipes that learn from references and marks"
            )
        if self.added and (self.start is None or self.tasks):
            raise ConfigError(
                "--add-task adds to the tasks of a checkpoint; give it by --init, and leave "
                "--tasks out"
            )

    def _check_trunk(self) -> None:
        if self.trunk is None:
            return
        if RECIPES[self.recipe](1).phases is None:
            raise ConfigError(
                f"{self.recipe} has no trunk of Hiera; --trunk is for the recipes of TP-Seg"
            )
        if self.start is not None:
            raise ConfigError(
                "a checkpoint given by --init has its trunk already; leave out --trunk, or --init"
            )
