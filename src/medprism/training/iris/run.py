"""A run of Iris on volumes as a folder, laid out as every run (see `training.run`)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.durable import make_folder, read_json, write_json
from medprism.core.errors import CheckpointError, ConfigError, FormatVersionError, StoreError
from medprism.core.progress import Progress
from medprism.core.volume_intensity import RULES
from medprism.data.diet import table_of
from medprism.data.volume_episode import VolumeEpisodes
from medprism.data.volumes import VolumeSet, coarse_spacing, read_volume_sets
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.checkpoint import Checkpoint, CheckpointInfo, load_checkpoint
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.model import Iris
from medprism.training.best_keeper import BestKeeper
from medprism.training.distributed import Replicas
from medprism.training.initial import begin_with, draw_weights
from medprism.training.iris.config import IrisTrainConfig, iris_recipe
from medprism.training.iris.lesson import IrisLearner
from medprism.training.iris.loop import train_volumes
from medprism.training.iris.timing import time_volume_steps
from medprism.training.loop import STATE_FILE, Log, Schedule, Validate
from medprism.training.run import BEST, LAST, SAVE_SECONDS, SAVE_STEPS, VALIDATIONS, refuse_used
from medprism.training.run_length import check_length, check_seed
from medprism.training.run_record import RUN_FILE
from medprism.training.shipping import INTENDED_USE, describe_set, weights_licence, write_checkpoint
from medprism.training.state import Position, average_of, read_average
from medprism.training.timing import Timing, steps_within

FORMAT: Final = "medprism-iris-run"
VERSION: Final = 1

# sets, class table, model settings, side of a window -> what a run validates with, if it can
MakeVolumeValidate = Callable[[Sequence[VolumeSet], ConceptTable, IrisConfig, int], Validate | None]


@dataclass(frozen=True, kw_only=True)
class IrisOrder:
    """How a run is to be started: `steps` or `minutes`, one of the two.

    `without` are classes that the run must not see; `seed` takes the place of the recipe's; `start`
    is a checkpoint of the same classes to begin with.
    """

    preset: str
    data: tuple[Path, ...]
    steps: int | None = None
    minutes: float | None = None
    without: tuple[str, ...] = ()
    seed: int | None = None
    start: Path | None = None

    def __post_init__(self) -> None:
        check_length("the run", self.steps, self.minutes)
        check_seed(self.seed)

    def config(self) -> IrisTrainConfig:
        """Return the recipe's settings with this order's seed; a run in minutes has one step."""
        config = iris_recipe(self.preset, 1 if self.steps is None else self.steps)
        return config if self.seed is None else replace(config, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class IrisRecord:
    """What `run.json` holds; it never changes while the run goes on."""

    config: IrisTrainConfig
    schedule: Schedule
    concepts: ConceptTable
    data: tuple[Path, ...]
    content: Mapping[str, str]
    timing: Mapping[str, Any]
    start: str | None = None

    def save(self, folder: Path) -> None:
        """Write the record durably."""
        payload = {
            "config": self.config.to_json(),
            "schedule": asdict(self.schedule),
            "concepts": self.concepts.to_json(),
            "data": [str(path) for path in self.data],
            "content": dict(self.content),
            "timing": dict(self.timing),
            "start": self.start,
        }
        write_json(folder / RUN_FILE, FORMAT, VERSION, payload)

    @classmethod
    def load(cls, folder: Path) -> IrisRecord:
        """Read the record of a run folder.

        Raises:
            FormatVersionError: there is none, or it is damaged or of a newer version.
        """
        payload = read_json(folder / RUN_FILE, FORMAT, VERSION)
        try:
            return cls(
                config=IrisTrainConfig.from_json(payload["config"]),
                schedule=Schedule(**payload["schedule"]),
                concepts=ConceptTable.from_json(payload["concepts"]),
                data=tuple(Path(path) for path in payload["data"]),
                content=payload["content"],
                timing=payload["timing"],
                start=payload.get("start"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatVersionError(
                f"{folder / RUN_FILE} is damaged ({error}); start a new run folder"
            ) from error


class IrisRun:
    """A run folder with its volumes in memory: started anew, or gone on with."""

    def __init__(self, folder: Path, record: IrisRecord, sets: tuple[VolumeSet, ...]) -> None:
        self.folder, self.record, self.sets = folder, record, sets
        self.episodes = VolumeEpisodes(sets, record.concepts, record.config.episode)

    @classmethod
    def start(
        cls,
        folder: Path,
        order: IrisOrder,
        make_validate: MakeVolumeValidate | None = None,
        progress: Progress | None = None,
    ) -> IrisRun:
        """Lay a run folder out; minutes become steps here, once, by timing the first ones.

        A validation with what `make_validate` gives is timed as well.

        Raises:
            ConfigError: the folder holds a run already, too few minutes, or no such preset.
            StoreError: no training set of volumes.
            LabelError: a class to leave out that no set has.
        """
        refuse_used(folder)
        config = order.config()
        data = tuple(path.resolve() for path in order.data)
        sets = read_volume_sets(data, config.episode.side, progress)
        concepts = _without(table_of([one.info for one in sets])[0], order.without)
        make_folder(folder, "run folder")
        record = IrisRecord(
            config=config,
            schedule=Schedule(),
            concepts=concepts,
            data=data,
            content={one.info.name: digest_of(one) for one in sets},
            timing={},
            start=None if order.start is None else str(order.start.resolve()),
        )
        run = cls(folder, record, sets)
        # A checkpoint that does not fit is refused before anything is timed or written.
        run.first_learner()
        run.record = run._scheduled(order.minutes, make_validate)
        run.record.save(folder)
        return run

    @classmethod
    def resume(cls, folder: Path, progress: Progress | None = None) -> IrisRun:
        """Open a run folder to go on with it.

        Raises:
            FormatVersionError: there is no run, or it is damaged or of a newer version.
            StoreError: its volumes have changed.
        """
        record = IrisRecord.load(folder)
        sets = read_volume_sets(record.data, record.config.episode.side, progress)
        if {one.info.name: digest_of(one) for one in sets} != dict(record.content):
            raise StoreError(
                f"the volumes of the run {folder} have changed since it was started, so it cannot "
                "go on with the same episodes; start a new run"
            )
        return cls(folder, record, sets)

    def validator(self, make_validate: MakeVolumeValidate | None) -> Validate | None:
        """Return the function that this run validates with; None where there are no `val` cases."""
        if make_validate is None:
            return None
        side = self.record.config.episode.side
        return make_validate(self.sets, self.record.concepts, _model_config(self.record), side)

    def first_learner(self) -> IrisLearner:
        """Return the learner of the first step: with the checkpoint of the order, if it names one.

        Raises:
            CheckpointError: the checkpoint is of another preset, or of other classes.
        """
        learner = self._learner()
        if self.record.start is not None:
            checkpoint = load_checkpoint(Path(self.record.start))
            _begin(learner.model, self.record.concepts, checkpoint)
        return learner

    def train(
        self,
        validate: Validate | None,
        log: Log,
        progress: Progress,
        replicas: Replicas | None = None,
        *,
        recompute: bool = False,
    ) -> Position:
        """Train until the last step or until cancelled; write the best and the last checkpoint.

        Of several `replicas` the first one writes; `recompute` as in `train_volumes`.

        Raises:
            InternalError: the loss is not finite.
            WriteError: no space; the files on disk stay as they were.
        """
        keeper = BestKeeper(partial(self.ship, BEST), log)
        goes_on = (self.folder / STATE_FILE).exists()
        learner = self._learner() if goes_on else self.first_learner()
        learner.replicas = replicas or learner.replicas
        position = train_volumes(
            learner,
            self.episodes.draw,
            self.record.config,
            self.folder,
            schedule=self.record.schedule,
            validate=validate,
            on_best=keeper.keep_best,
            log=keeper,
            progress=progress,
            replicas=learner.replicas,
            recompute=recompute,
        )
        if learner.replicas.rank == 0:
            self.ship(LAST, position, read_average(self.folder / STATE_FILE), {})
        return position

    def ship(
        self, name: str, position: Position, weights: dict[str, Tensor], metrics: dict[str, Any]
    ) -> Path:
        """Write a checkpoint of this run into its folder and return its path."""
        write_checkpoint(self.folder / name, self._info(position, metrics), weights)
        return self.folder / name

    def _info(self, position: Position, metrics: dict[str, Any]) -> CheckpointInfo:
        config, infos = self.record.config, [one.info for one in self.sets]
        return CheckpointInfo(
            name=config.preset,
            architecture=IRIS_PRESETS[config.preset].architecture,
            config=_model_config(self.record).to_json(),
            concepts=self.record.concepts,
            preprocessing={
                "window": config.episode.side,
                "coarse_mm": coarse_spacing(config.episode.side),
                "spacing_mm": {one.info.name: one.spacing for one in self.sets},
                "rules": [rule.to_json() for rule in RULES.values()],
            },
            training={
                "sets": [describe_set(info) for info in infos],
                "run": config.to_json(),
                "steps": position.step,
                "minutes": round(position.seconds / 60, 2),
                "seconds": round(position.seconds, 1),
            },
            metrics=metrics,
            card={"intended_use": INTENDED_USE, "licence": weights_licence(infos)},
            code_version=version("medprism"),
        )

    def _learner(self) -> IrisLearner:
        return IrisLearner(build_iris_to_train(self.record))

    def _scheduled(
        self, minutes: float | None, make_validate: MakeVolumeValidate | None
    ) -> IrisRecord:
        """Return the record with its length in steps, and how often it saves and validates."""
        config, timing, save_every = self.record.config, {}, SAVE_STEPS
        if minutes is not None:
            timed, validation = self._time(make_validate)
            steps = steps_within(config, timed, minutes, (VALIDATIONS + 2) * validation)
            config = replace(config, steps=steps)
            save_every = max(1, round(SAVE_SECONDS / timed.seconds_per_step[0]))
            timing = {
                "minutes": minutes,
                "seconds_per_step": timed.seconds_per_step[0],
                "seconds_timing": timed.seconds_spent,
                "seconds_per_validation": validation,
            }
        every = max(1, config.steps // VALIDATIONS)
        schedule = Schedule(save_every=save_every, validate_every=every, log_every=min(20, every))
        return replace(self.record, config=config, schedule=schedule, timing=timing)

    def _time(self, make_validate: MakeVolumeValidate | None) -> tuple[Timing, float]:
        """Time the first steps on a model that is thrown away, and one validation."""
        started = time.monotonic()
        step = time_volume_steps(self._learner(), self.episodes.draw, self.record.config)
        spent = time.monotonic() - started
        validate, before = self.validator(make_validate), time.monotonic()
        if validate is not None:
            validate(average_of(self._learner().model))
        return Timing((step,), spent), time.monotonic() - before


def build_iris_to_train(record: IrisRecord) -> Iris:
    """Return the model a run begins with; the same seed gives the same weights."""
    return draw_weights(record.config.seed, lambda: Iris(_model_config(record)))


def _begin(model: Iris, concepts: ConceptTable, checkpoint: Checkpoint) -> None:
    """Copy weights and bank; what stays is the horizon of the run's own bank.

    Raises:
        CheckpointError: the checkpoint is of another preset, or of other classes.
    """
    known = [concept.name for concept in checkpoint.info.concepts.concepts]
    if known != [concept.name for concept in concepts.concepts]:
        raise CheckpointError(
            f"checkpoint {checkpoint.info.name!r} knows {', '.join(known)}, and the run is of "
            f"{', '.join(one.name for one in concepts.concepts)}; choose one of the same sets"
        )
    begin_with(model, checkpoint)


def digest_of(volumes: VolumeSet) -> str:
    """Return the SHA-256 of what episodes are drawn from: grids, splits, images and labels."""
    sha = hashlib.sha256(f"{volumes.info.name}|{volumes.spacing}".encode())
    for volume in volumes.volumes:
        named = (volume.case_id, volume.patient, volume.split, volume.image.shape)
        sha.update(repr(named).encode())
        sha.update(volume.image.tobytes())
        sha.update(volume.labels.tobytes())
    return sha.hexdigest()


def is_iris_run(folder: Path) -> bool:
    """Say whether a folder holds a run of Iris.

    Raises:
        FormatVersionError: its record is damaged or of a newer version.
    """
    path = folder / RUN_FILE
    return path.is_file() and f'"{FORMAT}"' in path.read_text(encoding="utf-8")[:200]


def _model_config(record: IrisRecord) -> IrisConfig:
    config = IRIS_PRESETS[record.config.preset].config(len(record.concepts))
    return replace(config, bank_momentum=record.config.bank_momentum)


def _without(concepts: ConceptTable, names: tuple[str, ...]) -> ConceptTable:
    rows = {concepts.row(name) for name in names}
    kept = tuple(one for row, one in enumerate(concepts.concepts) if row not in rows)
    if not kept:
        raise ConfigError(f"nothing is left to learn without {', '.join(names)}; leave out fewer")
    return ConceptTable(kept)
