"""What `medprism train iris-...` does once its arguments are read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medprism.apps.cli.interrupt import stop_on_interrupt
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.apps.cli.replica_start import open_together
from medprism.apps.cli.resuming import refuse_given, refuse_other_preset
from medprism.apps.cli.training_bar import TrainingBar
from medprism.apps.cli.training_end import say_end
from medprism.core.errors import ConfigError
from medprism.data.datasets.discovery import find_datasets
from medprism.evaluation.iris_validation import make_sliding_validate
from medprism.training.distributed import Alone, Replicas
from medprism.training.figures import Together, open_logs
from medprism.training.iris.run import IrisOrder, IrisRun


@dataclass(frozen=True, kw_only=True)
class IrisWish:
    """The arguments of `medprism train` that a run of Iris takes; `others` are refused."""

    preset: str
    out: Path
    data: tuple[Path, ...]
    minutes: float | None
    steps: int | None
    resume: bool
    without: str
    seed: int | None
    init: Path | None
    others: Mapping[str, object]
    recompute: bool = False


def train_iris(wish: IrisWish, replicas: Replicas | None = None) -> int:
    """Train and say where the checkpoints are; return 130 if stopped before the last step."""
    given = [name for name, value in wish.others.items() if value]
    if given:
        raise ConfigError(f"{', '.join(given)} is nothing for {wish.preset}; leave it out")
    group = replicas or Alone()
    is_first = group.rank == 0
    run = open_together(
        group,
        wish.minutes,
        lambda: _resume(wish) if wish.resume else _start(wish),
        lambda: IrisRun.resume(wish.out),
    )
    with (
        stop_on_interrupt() as stop,
        TrainingBar(run.record.config, stop, is_shown=is_first) as bar,
    ):
        validate = run.validator(make_sliding_validate) if is_first else None
        logs = open_logs(run.folder, bar) if is_first else Together([])
        position = run.train(validate, logs, bar, group, recompute=wish.recompute)
    if not is_first:
        return 0
    return say_end(wish.preset, run.folder, position, run.record.config.steps)


def _start(wish: IrisWish) -> IrisRun:
    if not wish.data:
        raise ConfigError("give --data with folders of volumes")
    order = IrisOrder(
        preset=wish.preset,
        data=find_datasets(wish.data),
        steps=wish.steps,
        minutes=wish.minutes,
        without=split_list(wish.without, "--without") if wish.without else (),
        seed=wish.seed,
        start=wish.init,
    )
    with progress_bar("reading") as bar:
        run = IrisRun.start(wish.out, order, make_sliding_validate, bar)
    grids = ", ".join(f"{one.info.name} at {one.spacing:g} mm" for one in run.sets)
    print(f"{grids}; {run.record.config.steps} steps", file=sys.stderr)
    return run


def _resume(wish: IrisWish) -> IrisRun:
    given = {
        "--data": wish.data,
        "--minutes": wish.minutes,
        "--steps": wish.steps,
        "--without": wish.without,
        "--seed": wish.seed is not None,
        "--init": wish.init,
    }
    refuse_given(given, wish.out)
    with progress_bar("reading") as bar:
        run = IrisRun.resume(wish.out, bar)
    refuse_other_preset(run.record.config.preset, wish.preset, wish.out)
    return run
