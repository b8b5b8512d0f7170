"""A training run as a folder: what it was started with, its state, its figures, its checkpoints.

run.json              recipe, steps, class table, store: fixed when the run starts
state.safetensors     where it stands; `train` resumes from it bit for bit
log.jsonl             figures; tensorboard/ holds the same as curves
best.safetensors      the checkpoint with the best score on `val`
last.safetensors      the checkpoint of the last step
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.durable import make_folder
from medprism.core.errors import ConfigError, StoreError
from medprism.core.progress import Progress
from medprism.data.store import SliceStore, read_manifest
from medprism.models.catalog import SEGMENTER_PRESETS
from medprism.models.checkpoint import load_checkpoint
from medprism.training.best_keeper import BestKeeper
from medprism.training.course import course_of, make_sampler
from medprism.training.distributed import Replicas
from medprism.training.external_trunk import model_settings
from medprism.training.loop import STATE_FILE, Log, Schedule, Validate, train
from medprism.training.memory_settings import MemorySettings
from medprism.training.run_order import RunOrder
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.shipping import make_info, write_checkpoint
from medprism.training.state import Position, average_of, read_average, read_document
from medprism.training.timing import steps_within, time_steps

BEST: Final = "best.safetensors"
LAST: Final = "last.safetensors"

VALIDATIONS: Final = 10
SAVE_SECONDS: Final = 60.0
SAVE_STEPS: Final = 100

# store, class table, long side, model settings -> the function that training validates with
MakeValidate = Callable[[SliceStore, ConceptTable, int, Any], Validate]


class Run:
    """A run folder that can be trained on: started anew, or gone on with."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record
        store = SliceStore.open(record.store)
        if parts_of(record.store, record.sets) != record.parts:
            raise StoreError(
                f"the store {record.store} has changed since the run {folder} was started, so it "
                "cannot go on with the same batches; start a new run"
            )
        self.store = store.only(record.sets)
        self.course = course_of(record.config)
        self.sampler = make_sampler(record, self.store)

    @classmethod
    def start(cls, folder: Path, order: RunOrder, make_validate: MakeValidate | None) -> Run:
        """Lay a run folder out; minutes become steps here, once, by timing the first ones.

        Raises:
            ConfigError: the folder holds a run already, or too few minutes.
            StoreError: the store has no training set, or none with these licences.
            CheckpointError: the checkpoint to start with is of another preset.
        """
        refuse_used(folder)
        make_folder(folder, "run folder")
        checkpoint = None if order.start is None else load_checkpoint(order.start)
        store = order.store.resolve()
        config = order.config()
        choose = course_of(config).choose
        chosen, config = choose(SliceStore.open(store), order, checkpoint, config)
        record = RunRecord(
            recipe=order.recipe,
            config=config,
            schedule=Schedule(),
            concepts=chosen.concepts,
            partial=chosen.partial,
            sets=chosen.sets,
            store=store,
            parts=parts_of(store, chosen.sets),
            synthetic=order.synthetic,
            task_change=order.task_change,
            start=None if order.start is None else str(order.start.resolve()),
            trunk=None if order.trunk is None else str(order.trunk.resolve()),
            timing={},
        )
        run = cls(folder, record)
        run.course.build(record, checkpoint)
        run.record = run._scheduled(order, make_validate)
        run.record.save(folder)
        return run

    @classmethod
    def resume(cls, folder: Path) -> Run:
        """Open a run folder to go on with it.

        Raises:
            FormatVersionError: there is no run, or it is damaged or of a newer version.
            StoreError: its store is gone or has changed.
        """
        return cls(folder, RunRecord.load(folder))

    def validator(self, make_validate: MakeValidate | None) -> Validate | None:
        """Return the function that validates this run; None where it has no `val` slices."""
        if make_validate is None or not any(row.split == "val" for row in self.store.rows):
            return None
        preset = SEGMENTER_PRESETS[self.record.config.preset]
        concepts = self.record.concepts
        settings = model_settings(self.record.config, len(concepts))
        return make_validate(self.store, concepts, preset.long_side, settings)

    def train(
        self,
        validate: Validate | None,
        log: Log,
        progress: Progress,
        replicas: Replicas | None = None,
        memory: MemorySettings | None = None,
    ) -> Position:
        """Train until the last step or until the progress of any process is cancelled.

        Writes the best checkpoint whenever the score on `val` rises, and the last one at the end.
        Of several `replicas` the first one writes; these and `memory` may be others than before.

        Raises:
            InternalError: the loss is not finite.
            LostProcessError: another process has ended; the state saved last is whole.
            WriteError: no space; the files on disk stay as they were.
        """
        record, path = self.record, self.record.start
        checkpoint = None if path is None else load_checkpoint(Path(path))
        if (self.folder / STATE_FILE).exists():
            # The state holds the trunk: where it came from is not needed any more.
            record = replace(record, trunk=None)
        keeper = BestKeeper(partial(self.ship, BEST), log)
        position = train(
            self.course.build(record, checkpoint),
            self.sampler,
            self.record.config,
            self.folder,
            schedule=self.record.schedule,
            validate=validate,
            on_best=keeper.keep_best,
            log=keeper,
            progress=progress,
            replicas=replicas,
            make_learner=self.course.make_learner,
            memory=memory,
        )
        if position.step and (replicas is None or replicas.rank == 0):
            weights = read_average(self.folder / STATE_FILE)
            self.ship(LAST, position, weights, {})
        return position

    def ship(
        self,
        name: str,
        position: Position,
        weights: dict[str, Tensor],
        metrics: dict[str, Any],
    ) -> Path:
        """Write a checkpoint of this run into its folder and return its path."""
        infos = self.store.infos.values()
        info = make_info(
            self.record.config,
            self.record.concepts,
            infos,
            position,
            metrics=metrics,
            card=self.course.describe(self.record, self.store),
        )
        write_checkpoint(self.folder / name, info, weights)
        return self.folder / name

    def _scheduled(self, order: RunOrder, make_validate: MakeValidate | None) -> RunRecord:
        """Return the record with its length in steps, and how often it saves and validates."""
        steps, save_every = self.record.config.steps, SAVE_STEPS
        timing: dict[str, Any] = {}
        if order.minutes is not None:
            steps, timing = self._time(order.minutes, make_validate)
            save_every = max(1, round(SAVE_SECONDS / max(timing["seconds_per_step"])))
        schedule = Schedule(
            save_every=save_every,
            validate_every=max(1, steps // VALIDATIONS),
            log_every=max(1, min(20, steps // VALIDATIONS)),
        )
        config = replace(self.record.config, steps=steps)
        return replace(self.record, config=config, schedule=schedule, timing=timing)

    def _time(
        self, minutes: float, make_validate: MakeValidate | None
    ) -> tuple[int, dict[str, Any]]:
        record, course = self.record, self.course
        timing = time_steps(
            lambda: course.build(record, None),
            self.sampler,
            replace(record.config, steps=1000),
            minutes,
            course.make_learner,
        )
        validate = self.validator(make_validate)
        started = time.monotonic()
        if validate is not None:
            validate(average_of(course.build(record, None)))
        one_validation = time.monotonic() - started
        steps = steps_within(record.config, timing, minutes, (VALIDATIONS + 2) * one_validation)
        described = {
            "minutes": minutes,
            "seconds_per_step": list(timing.seconds_per_step),
            "seconds_timing": timing.seconds_spent,
            "seconds_per_validation": one_validation,
        }
        return steps, described


def refuse_used(folder: Path) -> None:
    """Refuse to start a run where there is one.

    Raises:
        ConfigError: the folder holds a run already.
    """
    if (folder / RUN_FILE).exists() or (folder / STATE_FILE).exists():
        raise ConfigError(
            f"{folder} holds a run already; go on with it (--resume), or choose another folder"
        )


def is_finished(folder: Path) -> bool:
    """Say whether the run of a folder has taken its last step."""
    state = folder / STATE_FILE
    if not state.exists():
        return False
    document = read_document(state)
    return bool(document["step"] >= document["config"]["steps"])


def parts_of(store: Path, sets: tuple[str, ...]) -> dict[str, str]:
    """Return what names the content of each set in a store."""
    manifest = read_manifest(store) or {"datasets": {}}
    entries = manifest["datasets"]
    return {name: str(entries[name]["part"]) for name in sets if name in entries}
