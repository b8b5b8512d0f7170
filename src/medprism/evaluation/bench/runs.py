"""Trained systems as folders: laid out once, gone on with where they stopped, read when finished.

OUT/runs/NAME holds run.json, the state and log.jsonl of a run (`training.run` has the same files);
NAME is the system's with the seed behind it where that is not 1. CPU seconds become steps when the
run is laid out, by timing its first steps in CPU time, so that others on the machine change
nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from medprism.core.durable import make_folder
from medprism.core.errors import ConfigError, InternalError, StoreError
from medprism.core.progress import Progress
from medprism.data.diet import choose_diet
from medprism.data.episode import EpisodeSampler
from medprism.data.store import SliceStore
from medprism.engines.engine import REFERENCE_ENGINE
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.bench.systems import SIZES, SYSTEMS
from medprism.models.checkpoint import hash_tensors
from medprism.models.segmenter import Segmenter
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.figures import JsonLines
from medprism.training.initial import draw_weights
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.run import SAVE_STEPS, is_finished, parts_of
from medprism.training.run_length import check_length
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.state import read_average, read_document
from medprism.training.timing import steps_within, time_steps

RUNS: Final = "runs"
LOGS: Final = 50
REQUESTS: Final = 16


@dataclass(frozen=True, kw_only=True)
class BenchOrder:
    """A system that is to be trained: for how long, on what, on canvases of which side.

    `datasets` are training sets of the store (none: all). One of `steps` and `cpu_seconds` is
    given.

    Raises:
        ConfigError: no such system or size, or neither steps nor CPU seconds.
    """

    system: str
    store: Path
    steps: int | None = None
    cpu_seconds: float | None = None
    size: str = "compact"
    side: int = 128
    seed: int = 1
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, name, known in (("system", self.system, SYSTEMS), ("size", self.size, SIZES)):
            if name not in known:
                raise ConfigError(f"no {kind} {name!r}; there is {', '.join(known)}")
        minutes = None if self.cpu_seconds is None else self.cpu_seconds / 60
        check_length("a system", self.steps, minutes)

    @property
    def name(self) -> str:
        """The name of the run, by which tables call it."""
        return self.system if self.seed == 1 else f"{self.system}@{self.seed}"

    def config(self, steps: int) -> TrainConfig:
        """Return the settings that all systems have in common, and the system's own odds."""
        size = SIZES[self.size]
        return TrainConfig(
            preset=f"kprism-{self.size}",
            steps=steps,
            stages=(StageConfig(size=self.side, share=1.0, requests=REQUESTS),),
            seed=self.seed,
            odds=SYSTEMS[self.system].odds,
            peak_rate=size.peak_rate,
            bfloat16=size.bfloat16,
        )


def train_system(order: BenchOrder, out: Path, progress: Progress) -> bool:
    """Lay a run out, or go on with it; return whether it is finished.

    Raises:
        ConfigError: the folder holds a run of another size, side or set, or too few seconds.
        StoreError: the store has changed since, or has no such training set.
    """
    folder = out / RUNS / order.name
    if not (folder / RUN_FILE).exists():
        _lay_out(order, folder)
    record = RunRecord.load(folder)
    _refuse_other(order, record, folder)
    if is_finished(folder):
        return True
    system = SYSTEMS[record.recipe]
    position = train(
        _build(order, len(record.concepts)),
        _sampler(record),
        record.config,
        folder,
        schedule=record.schedule,
        validate=None,
        on_best=None,
        log=JsonLines(folder / "log.jsonl"),
        progress=progress,
        make_learner=system.make_learner,
    )
    return position.step >= record.config.steps


def read_system(order: BenchOrder, out: Path) -> LoadedModel | None:
    """Return a trained system with its averaged weights; None where it is not finished."""
    folder = out / RUNS / order.name
    return read_run(folder) if is_finished(folder) else None


def read_run(folder: Path) -> LoadedModel:
    """Return the system of a run with its averaged weights; what it is stands in the folder.

    Raises:
        FormatVersionError, CheckpointError: a file of the run is damaged.
        ConfigError: no such system or size in this version.
    """
    record = RunRecord.load(folder)
    order = BenchOrder(
        system=record.recipe,
        store=record.store,
        steps=record.config.steps,
        size=str(record.timing["size"]),
        side=record.config.stages[0].size,
        seed=record.config.seed,
    )
    weights = read_average(folder / STATE_FILE)
    model = _build(order, len(record.concepts))
    model.load_state_dict(weights)
    if not isinstance(model, Segmenter):
        raise InternalError(f"system {order.system} is no segmenter; a session cannot drive it")
    model.eval()
    return LoadedModel(
        name=order.name,
        segmenter=model,
        concepts=record.concepts,
        long_side=order.side,
        weights_hash=hash_tensors(weights),
        engine=REFERENCE_ENGINE,
        threads=torch.get_num_threads(),
        card={},
    )


def describe_run(folder: Path) -> dict[str, Any]:
    """Return what a report says about a finished run: its steps, seconds, size, seed and sets."""
    record, state = RunRecord.load(folder), read_document(folder / STATE_FILE)
    return {
        "system": record.recipe,
        "title": SYSTEMS[record.recipe].title,
        "steps": state["step"],
        "wall_seconds": round(float(state["seconds"]), 1),
        "cpu_seconds_asked": record.timing.get("cpu_seconds"),
        "seconds_per_step": record.timing.get("seconds_per_step"),
        "seed": record.config.seed,
        "sets": list(record.sets),
        "parts": dict(record.parts),
    }


def _lay_out(order: BenchOrder, folder: Path) -> None:
    diet = choose_diet(_chosen(SliceStore.open(order.store), order.datasets))
    record = RunRecord(
        recipe=order.system,
        config=order.config(order.steps or 1),
        schedule=Schedule(),
        concepts=diet.concepts,
        partial=diet.partial,
        sets=tuple(info.name for info in diet.infos),
        store=order.store.resolve(),
        parts=parts_of(order.store, tuple(info.name for info in diet.infos)),
        synthetic=0.0,
        task_change=0.0,
        start=None,
        timing={"size": order.size, "datasets": list(order.datasets)},
    )
    if order.cpu_seconds is not None:
        record = _timed(order, record, order.cpu_seconds)
    steps = record.config.steps
    schedule = Schedule(save_every=SAVE_STEPS, log_every=max(1, steps // LOGS))
    make_folder(folder, "run folder")
    replace(record, schedule=schedule).save(folder)


def _timed(order: BenchOrder, record: RunRecord, cpu_seconds: float) -> RunRecord:
    minutes = cpu_seconds / 60
    timed = time_steps(
        lambda: _build(order, len(record.concepts)),
        _sampler(record),
        record.config,
        minutes,
        SYSTEMS[order.system].make_learner,
        clock=time.process_time,
    )
    steps = steps_within(record.config, timed, minutes)
    timing = {
        **record.timing,
        "cpu_seconds": cpu_seconds,
        "seconds_per_step": list(timed.seconds_per_step),
        "seconds_timing": timed.seconds_spent,
    }
    return replace(record, config=order.config(steps), timing=timing)


def _chosen(store: SliceStore, datasets: tuple[str, ...]) -> SliceStore:
    known = [info.name for info in store.infos.values() if info.role == "train"]
    missing = [name for name in datasets if name not in known]
    if missing:
        raise StoreError(
            f"the store {store.path} has no training set {missing[0]!r}; it has {', '.join(known)}"
        )
    return store.only(set(datasets)) if datasets else store


def _refuse_other(order: BenchOrder, record: RunRecord, folder: Path) -> None:
    held = (record.timing.get("size"), record.config.stages[0].size, record.timing.get("datasets"))
    if held != (order.size, order.side, list(order.datasets)):
        raise ConfigError(
            f"{folder} holds a run of size, side and sets {held}, not "
            f"{(order.size, order.side, list(order.datasets))}; choose another folder"
        )
    if parts_of(order.store, record.sets) != dict(record.parts):
        raise StoreError(
            f"the store {order.store} has changed since the run {folder} was laid out; choose "
            "another folder of results"
        )


def _build(order: BenchOrder, classes: int) -> nn.Module:
    """Build a system; the same seed draws the same weights."""
    return draw_weights(order.seed, lambda: SYSTEMS[order.system].build(SIZES[order.size], classes))


def _sampler(record: RunRecord) -> EpisodeSampler:
    store = SliceStore.open(record.store).only(set(record.sets))
    return EpisodeSampler(store, record.concepts, "train", partial=record.partial)
