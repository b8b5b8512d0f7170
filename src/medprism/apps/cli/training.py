"""What `medprism train` does once its arguments are read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from medprism.apps.cli.interrupt import stop_on_interrupt
from medprism.apps.cli.iris_training import IrisWish, train_iris
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.apps.cli.replica_start import open_together
from medprism.apps.cli.resuming import refuse_given, refuse_other_preset
from medprism.apps.cli.training_bar import TrainingBar
from medprism.apps.cli.training_end import say_end
from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError
from medprism.data.datasets.discovery import find_datasets
from medprism.data.licence import KINDS
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.engines.threads import use_threads
from medprism.evaluation.sample_overlays import make_sample_overlays
from medprism.evaluation.task_validation import make_task_validate
from medprism.evaluation.validation import make_validate
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.config import IrisConfig
from medprism.models.kprism.config import KPrismConfig
from medprism.models.tpseg.config import TPSegConfig
from medprism.training.distributed import Replicas, joined_processes
from medprism.training.figures import Together, open_logs
from medprism.training.loop import Validate
from medprism.training.memory_settings import MemorySettings
from medprism.training.run import Run, refuse_used
from medprism.training.run_order import RunOrder


@dataclass(frozen=True, kw_only=True)
class TrainWish:
    """The arguments of `medprism train`, as typed."""

    recipe: str
    out: Path
    data: tuple[Path, ...]
    store: Path | None
    minutes: float | None
    steps: int | None
    resume: bool
    licences: str
    init: Path | None
    tasks: str
    add_task: tuple[str, ...]
    trunk: Path | None
    synthetic: float
    task_change: float
    without: str
    seed: int | None
    threads: int | None
    memory: MemorySettings = MemorySettings()


def carry_out(wish: TrainWish) -> int:
    """Train and say where the checkpoints are; return 130 if stopped before the last step."""
    use_threads(wish.threads, "--threads")
    if wish.without and wish.recipe not in IRIS_PRESETS:
        raise ConfigError("--without is for Iris; leave it out")
    with joined_processes() as replicas:
        if wish.recipe in IRIS_PRESETS:
            return train_iris(_iris_wish(wish), replicas)
        return _train(wish, replicas)


def _iris_wish(wish: TrainWish) -> IrisWish:
    return IrisWish(
        preset=wish.recipe,
        out=wish.out,
        data=wish.data,
        minutes=wish.minutes,
        steps=wish.steps,
        resume=wish.resume,
        without=wish.without,
        seed=wish.seed,
        init=wish.init,
        recompute=wish.memory.recompute,
        others={
            "--store": wish.store,
            "--licences": wish.licences,
            "--tasks": wish.tasks,
            "--add-task": wish.add_task,
            "--trunk": wish.trunk,
            "--synthetic": wish.synthetic,
            "--task-change": wish.task_change,
            "--accumulate": wish.memory.accumulate > 1,
        },
    )


def _train(wish: TrainWish, replicas: Replicas) -> int:
    album = _Album()
    is_first = replicas.rank == 0
    run = open_together(
        replicas,
        wish.minutes,
        lambda: _resume(wish) if wish.resume else _start(wish, album),
        lambda: Run.resume(wish.out),
    )
    validate = run.validator(album.make_validate) if is_first else None
    if validate is None and is_first:
        print("no val slices: the best checkpoint cannot be chosen", file=sys.stderr)
    with (
        stop_on_interrupt() as stop,
        TrainingBar(run.record.config, stop, is_shown=is_first) as bar,
    ):
        logs = album.logs = open_logs(run.folder, bar) if is_first else Together([])
        position = run.train(validate, logs, bar, replicas, wish.memory)
    if not is_first:
        return 0
    return say_end(run.record.recipe, run.folder, position, run.record.config.steps)


def _start(wish: TrainWish, album: _Album) -> Run:
    refuse_used(wish.out)
    order = RunOrder(
        recipe=wish.recipe,
        store=_store(wish),
        steps=wish.steps,
        minutes=wish.minutes,
        licences=split_list(wish.licences, "--licences", KINDS) if wish.licences else (),
        start=wish.init,
        tasks=split_list(wish.tasks, "--tasks") if wish.tasks else (),
        added=wish.add_task,
        trunk=wish.trunk,
        synthetic=wish.synthetic,
        task_change=wish.task_change,
        seed=wish.seed,
    )
    if wish.minutes is not None:
        print("timing the first steps", file=sys.stderr)
    return Run.start(wish.out, order, album.make_validate)


def _store(wish: TrainWish) -> Path:
    if (wish.store is None) == (not wish.data):
        raise ConfigError(
            "give either --data with dataset folders or --store with a prepared store"
        )
    if wish.store is not None:
        return wish.store
    store = wish.out / "store"
    with progress_bar("preparing") as bar:
        report = prepare(find_datasets(wish.data), store, PrepareConfig(), bar)
    print("\n".join(report.lines()), file=sys.stderr)
    return store


def _resume(wish: TrainWish) -> Run:
    given = {
        "--data": wish.data,
        "--store": wish.store,
        "--minutes": wish.minutes,
        "--steps": wish.steps,
        "--licences": wish.licences,
        "--init": wish.init,
        "--tasks": wish.tasks,
        "--add-task": wish.add_task,
        "--trunk": wish.trunk,
        "--synthetic": wish.synthetic,
        "--task-change": wish.task_change,
        "--seed": wish.seed is not None,
    }
    refuse_given(given, wish.out)
    run = Run.resume(wish.out)
    refuse_other_preset(run.record.recipe, wish.recipe, wish.out)
    return run


@dataclass
class _Album:
    """Validation that also draws samples, where TensorBoard is there to show them."""

    logs: Together | None = None

    def make_validate(
        self,
        store: SliceStore,
        concepts: ConceptTable,
        long_side: int,
        config: KPrismConfig | TPSegConfig | IrisConfig,
    ) -> Validate:
        """Return the function that training validates with."""
        if isinstance(config, TPSegConfig):
            return make_task_validate(store, concepts, long_side, config)
        validate = make_validate(store, concepts, long_side, config)
        if find_spec("tensorboard") is None or isinstance(config, IrisConfig):
            return validate
        draw = make_sample_overlays(store, concepts, long_side, config)

        def validate_and_draw(weights: dict[str, Tensor]) -> dict[str, float]:
            pictures = draw(weights)
            if self.logs is not None:
                self.logs.pictures(pictures)
            return validate(weights)

        return validate_and_draw
