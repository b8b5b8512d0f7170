"""Trained methods as folders: laid out once, gone on with where they stopped, read for measuring.

OUT/runs/NAME holds a run, NAME being the method and its length; of a method with a model for each
task it holds a folder a task. Steps are fixed when the run is laid out (`training.timing`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from benchmarks.lesions.asked import SeparateModels
from benchmarks.lesions.learning import make_learner
from benchmarks.lesions.methods import METHODS, SIZES, Method, Size, build
from benchmarks.lesions.tasks import choose
from benchmarks.training_length import Length
from medprism.core.concepts import ConceptTable
from medprism.core.durable import make_folder
from medprism.core.errors import ConfigError, StoreError
from medprism.core.progress import Progress
from medprism.data.store import SliceStore
from medprism.models.checkpoint import hash_tensors
from medprism.training.config import TrainConfig
from medprism.training.course import make_sampler
from medprism.training.figures import JsonLines
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.run import SAVE_SECONDS, SAVE_STEPS, is_finished, parts_of
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.state import read_average, read_document
from medprism.training.timing import steps_within, time_steps

RUNS: Final = "runs"
LOGS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be trained; `tasks` none means all of the experiment."""

    method: str
    store: Path
    length: Length
    preset: str = "tpseg-compact"
    seed: int = 1
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("method", self.method, METHODS),
            ("preset", self.preset, SIZES),
        ):
            if name not in known:
                raise ConfigError(f"no {kind} {name!r}; there is {', '.join(known)}")

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        seed = "" if self.seed == 1 else f"-seed{self.seed}"
        return f"{self.method}@{self.length.slug}{seed}"


@dataclass(frozen=True, eq=False)
class Trained:
    """A run that is finished: its models are ready to be asked."""

    name: str
    method: Method
    size: Size
    concepts: ConceptTable
    model: nn.Module
    weights_hash: str
    facts: dict[str, Any]


def train_method(order: Order, out: Path, progress: Progress) -> bool:
    """Lay a run out, or go on with it; return whether it is finished.

    Raises:
        ConfigError: the folder holds a run with other settings, or too few minutes.
        StoreError: the store has changed since, or a task has no training image.
    """
    store = SliceStore.open(order.store)
    folders = _folders(order, store, out / RUNS / order.name)
    if not all((folder / RUN_FILE).exists() for folder in folders.values()):
        _lay_out(order, store, folders)
    for folder in folders.values():
        record = RunRecord.load(folder)
        _refuse_other(order, record, folder)
        if not _train_one(record, folder, progress):
            return False
    return True


def read_run(folder: Path) -> Trained | None:
    """Return a trained method with its averaged weights; None where it is not finished."""
    folders = [folder] if (folder / RUN_FILE).exists() else sorted(folder.glob(f"*/{RUN_FILE}"))
    folders = [one.parent if one.name == RUN_FILE else one for one in folders]
    if not folders or not all(is_finished(one) for one in folders):
        return None
    records = [RunRecord.load(one) for one in folders]
    method, size = METHODS[records[0].recipe], SIZES[records[0].config.preset]
    weights = [read_average(one / STATE_FILE) for one in folders]
    models = [
        _with_weights(method, size, record, tensors)
        for record, tensors in zip(records, weights, strict=True)
    ]
    concepts = records[0].concepts
    if method.is_separate:
        concepts = ConceptTable(tuple(record.concepts[0] for record in records))
    together = {f"{n}.{k}": t for n, own in enumerate(weights) for k, t in own.items()}
    states = [read_document(one / STATE_FILE) for one in folders]
    return Trained(
        name=folder.name,
        method=method,
        size=size,
        concepts=concepts,
        model=(SeparateModels(models) if method.is_separate else models[0]).eval(),
        weights_hash=hash_tensors(together),
        facts={
            "method": records[0].recipe,
            "title": method.title,
            "minutes asked": records[0].timing.get("minutes"),
            "minutes": sum(state["seconds"] for state in states) / 60,
            "steps": sum(state["step"] for state in states),
            "models": len(records),
            "parameters": sum(p.numel() for one in models for p in one.parameters()),
        },
    )


def _folders(order: Order, store: SliceStore, root: Path) -> dict[str, Path]:
    """Return where each model of a run lies, by its task (empty: all tasks)."""
    if not METHODS[order.method].is_separate:
        return {"": root}
    chosen = choose(store, order.tasks).concepts.names
    return {name: root / f"{row:02d}-{name.replace(' ', '-')}" for row, name in enumerate(chosen)}


def _lay_out(order: Order, store: SliceStore, folders: dict[str, Path]) -> None:
    method, size = METHODS[order.method], SIZES[order.preset]
    # Steps of any length; the first part's settings serve to time, its cost is that of all.
    first = _record(order, store, next(iter(folders)), method.config(size, 1), {})
    timing: dict[str, Any] = {"length": str(order.length)}
    steps, seconds = order.length.steps, None
    if order.length.minutes is not None:
        timed = time_steps(
            lambda: _build(first),
            make_sampler(first, store.only(first.sets)),
            replace(first.config, steps=1000),
            order.length.minutes,
            make_learner,
        )
        steps = steps_within(first.config, timed, order.length.minutes)
        seconds = max(timed.seconds_per_step)
        timing |= {
            "minutes": order.length.minutes,
            "seconds_per_step": list(timed.seconds_per_step),
            "seconds_timing": timed.seconds_spent,
        }
    assert steps is not None
    own = max(1, steps // len(folders))
    config = method.config(size, own)
    schedule = Schedule(
        save_every=SAVE_STEPS if seconds is None else max(1, round(SAVE_SECONDS / seconds)),
        log_every=max(1, own // LOGS),
    )
    for task, folder in folders.items():
        make_folder(folder, "run folder")
        replace(_record(order, store, task, config, timing), schedule=schedule).save(folder)


def _record(
    order: Order, store: SliceStore, task: str, config: TrainConfig, timing: dict[str, Any]
) -> RunRecord:
    chosen = choose(store, order.tasks)
    chosen = choose(store, (task,)) if task else chosen
    return RunRecord(
        recipe=order.method,
        config=replace(config, seed=order.seed),
        schedule=Schedule(),
        concepts=chosen.concepts,
        partial=chosen.partial,
        sets=chosen.sets,
        store=order.store.resolve(),
        parts=parts_of(order.store, chosen.sets),
        synthetic=0.0,
        task_change=0.0,
        start=None,
        timing=timing,
    )


def _refuse_other(order: Order, record: RunRecord, folder: Path) -> None:
    if record.config.preset != order.preset:
        raise ConfigError(
            f"{folder} holds a run of the size of {record.config.preset}, not {order.preset}; "
            "choose another folder of results"
        )
    chosen = choose(SliceStore.open(order.store), record.concepts.names)
    if parts_of(order.store, chosen.sets) != record.parts:
        raise StoreError(
            f"the store {order.store} has changed since the run {folder} was laid out; choose "
            "another folder of results"
        )


def _train_one(record: RunRecord, folder: Path, progress: Progress) -> bool:
    if is_finished(folder):
        return True
    store = SliceStore.open(record.store).only(record.sets)
    position = train(
        _build(record),
        make_sampler(record, store),
        record.config,
        folder,
        schedule=record.schedule,
        validate=None,
        on_best=None,
        log=JsonLines(folder / "log.jsonl"),
        progress=progress,
        make_learner=make_learner,
    )
    return position.step >= record.config.steps


def _build(record: RunRecord) -> nn.Module:
    method, size = METHODS[record.recipe], SIZES[record.config.preset]
    return build(method, size, len(record.concepts), record.config.seed)


def _with_weights(
    method: Method, size: Size, record: RunRecord, weights: dict[str, Tensor]
) -> nn.Module:
    model = build(method, size, len(record.concepts), record.config.seed)
    model.load_state_dict(weights)
    return model.eval()
