"""Train a class on the accepted masks of a label: the job, and what it needs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from medprism.apps.workbench.accepted_set import AcceptedSet
from medprism.core.errors import CheckpointError, ConflictError, LabelError
from medprism.core.progress import Progress
from medprism.data.case import Dataset
from medprism.data.held_out import LEAST_CASES, LEAST_MASKS
from medprism.data.preparation import PrepareConfig, PrepareReport, prepare_sets
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import checkpoint_path
from medprism.evaluation.fine_tuning import make_exam
from medprism.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from medprism.project.annotating import Desk
from medprism.project.checkpoints import CheckpointRecord
from medprism.project.jobs import JobRecord
from medprism.project.labels import LabelRecord
from medprism.project.masks import Acceptance
from medprism.training.finetune import FineTuneConfig, Length, fine_tune
from medprism.training.lesson import plan_lesson

# The number of the model that the server was started with among the checkpoints.
BASE: Final = 0
# The item of a job that holds which accepted masks it learns from.
_MASKS: Final = "masks"


class Trainer:
    """Trains classes in a project; one job at a time."""

    def __init__(self, desk: Desk, base: LoadedModel, config: FineTuneConfig | None = None) -> None:
        self._desk = desk
        self._base = base
        self.config = config or FineTuneConfig()

    def check(self, label: str, checkpoint: int) -> LabelRecord:
        """Return the label to train if it has what a training needs.

        Raises:
            LabelError: there is no such label.
            ConflictError: too few masks, or all of them on one image.
            UnknownEntryError: there is no such checkpoint.
        """
        if checkpoint != BASE:
            self._desk.project.checkpoints.get(checkpoint)
        known = self._desk.project.labels.named(label.strip())
        if known is None:
            names = ", ".join(one.name for one in self._desk.project.labels.all()) or "none"
            raise LabelError(f"there is no label {label!r} to train; the project has {names}")
        images = [one for one in self._desk.project.masks.of_label(known.id) if one.pixels]
        # A volume may hold a mask on each of its slices; the job counts them.
        slices = [self._desk.project.images.get(one.image).slices or 1 for one in images]
        if sum(slices) < LEAST_MASKS or len(images) < LEAST_CASES:
            raise ConflictError(
                f"{known.name!r} has accepted masks on {len(images)} images; training a class "
                f"needs at least {LEAST_MASKS} masks on at least {LEAST_CASES} images, so accept "
                "more"
            )
        return known

    def train(self, job: JobRecord, progress: Progress) -> CheckpointRecord:
        """Train what a job asks for and keep the checkpoint; a job that made one returns it.

        Raises:
            CancelledError: the progress asked to stop; run again, it goes on.
            ConfigError: too few masks.
            CheckpointError: the model to begin with cannot be trained.
        """
        project = self._desk.project
        made = project.checkpoints.of_job(job.id)
        folder = project.training / f"job-{job.id:06d}"
        if made is None:
            made = self._make(job, folder, progress)
        shutil.rmtree(folder, ignore_errors=True)
        return made

    def _make(self, job: JobRecord, folder: Path, progress: Progress) -> CheckpointRecord:
        begin = int(job.payload["checkpoint"])
        label = self.check(str(job.payload["label"]), begin)
        parent = self._parent(begin)
        progress.report(0, 0, "reading")
        store, left_out = self._store(job, label, folder / "store", progress)
        lesson = plan_lesson(
            store,
            parent.info.concepts,
            (label.name,),
            share=self.config.held_out,
            seed=self.config.seed,
        )
        found = fine_tune(
            parent,
            lesson,
            folder / "run",
            Length(steps=job.payload.get("steps"), minutes=job.payload.get("minutes")),
            make_exam,
            progress,
            self.config,
        )
        report = {**found.report, "notes": [*found.report["notes"], *left_out]}

        def write(path: Path) -> tuple[str, Mapping[str, Any]]:
            return save_checkpoint(path, found.info, found.weights), report

        former = None if begin == BASE else begin
        return self._desk.project.checkpoints.add(job.id, label.id, former, job.author, write)

    def _parent(self, checkpoint: int) -> Checkpoint:
        if checkpoint != BASE:
            record = self._desk.project.checkpoints.get(checkpoint)
            return load_checkpoint(self._desk.project.checkpoints.path_of(record))
        found = load_checkpoint(checkpoint_path(self._base.name))
        if found.weights_hash != self._base.weights_hash:
            raise CheckpointError(
                "the file of the base model has changed since the server was started; start the "
                "server anew"
            )
        return found

    def _store(
        self, job: JobRecord, label: LabelRecord, folder: Path, progress: Progress
    ) -> tuple[SliceStore, list[str]]:
        """Return the masks of a job as a store, and sentences on images that cannot be read."""
        accepted = self._accepted(job, label)

        def open_all() -> list[Dataset]:
            return [AcceptedSet(self._desk, accepted)]

        config = PrepareConfig(labelled_only=True, workers=1)
        report = prepare_sets(open_all, folder, config, _Reading(progress))
        return SliceStore.open(folder), _failures(report)

    def _accepted(self, job: JobRecord, label: LabelRecord) -> dict[int, list[Acceptance]]:
        """Return what is learned from, by image; it is fixed when the job runs first."""
        project = self._desk.project
        listed = project.jobs.finished_items(job.id).get(_MASKS)
        if listed is None:
            images = [one.image for one in project.masks.of_label(label.id)]
            numbers = [one.id for image in images for one in project.masks.of(image)]
            listed = {"acceptances": numbers}
            project.jobs.finish_item(job.id, _MASKS, listed)
        found: dict[int, list[Acceptance]] = {}
        for number in listed["acceptances"]:
            one = project.masks.get(int(number))
            found.setdefault(one.image, []).append(one)
        return found


class _Reading:
    """Progress while images are read: steps of the training are not known yet."""

    def __init__(self, whole: Progress) -> None:
        self._whole = whole

    def report(self, done: int, total: int, message: str = "") -> None:
        """Say that images are read."""
        self._whole.report(0, 0, "reading")

    def is_cancelled(self) -> bool:
        """Return whether it should stop."""
        return self._whole.is_cancelled()


def _failures(report: PrepareReport) -> list[str]:
    return [
        f"image {int(failure.case)} was left out: {failure.reason}"
        for one in report.datasets
        for failure in one.failures
    ]
