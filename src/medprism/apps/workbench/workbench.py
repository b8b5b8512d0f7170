"""Everything a running server has: the project, the model, open sessions and jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medprism.apps.identity import open_deidentifier
from medprism.apps.workbench.freed_memory import MemorySweep
from medprism.apps.workbench.job_runner import JobRunner, Outcome
from medprism.apps.workbench.open_session import OpenSession
from medprism.apps.workbench.open_sessions import OpenSessions
from medprism.apps.workbench.pictures import Windows
from medprism.apps.workbench.session_jobs import SHORT_JOBS, carry, predict
from medprism.apps.workbench.settings import WorkbenchSettings
from medprism.apps.workbench.training import BASE, Trainer
from medprism.apps.workbench.turns import ModelTurns
from medprism.core.errors import LabelError, MedprismError
from medprism.core.progress import Progress
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.engines.one_thread import ModelThread
from medprism.inference.memory import Memory
from medprism.inference.target import find_targets
from medprism.io.mask_file import Colour
from medprism.project.annotating import Desk
from medprism.project.batch import presegment_images, score_references
from medprism.project.export import export_all
from medprism.project.jobs import JobRecord
from medprism.project.labels import LabelRecord, check_name
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf
from medprism.training.finetune import MINUTES

_log = logging.getLogger(__name__)


class Workbench:
    """One server's state; `close` saves everything."""

    def __init__(self, project: Project, model: LoadedModel, settings: WorkbenchSettings) -> None:
        self.project = project
        self._model_thread = ModelThread()
        self.base = self._model_thread.host(model)
        self.settings = settings
        self.notice: str | None = None
        memory = Memory.of(settings.encodings_bytes, settings.maps_bytes)
        self.desk = Desk(project, self.base, ImageShelf(project, settings.images_bytes), memory)
        self.checkpoint = BASE
        self._choosing = threading.Lock()
        self.turns = ModelTurns()
        self.windows = Windows()
        self.sessions = OpenSessions(
            self.desk,
            self.turns,
            most=settings.max_sessions,
            seconds=settings.lease_seconds,
        )
        self.jobs = JobRunner(
            project.jobs,
            self.turns,
            {
                "presegment": self._presegment,
                "score": self._score,
                "export": self._export,
                "propagate": self._propagate,
                "predict": self._predict,
                "training": self._training,
            },
            SHORT_JOBS,
        )
        self._open_chosen()
        self.trainer = Trainer(self.desk, self.base)
        self.sweeps: list[Callable[[], None]] = [self.sessions.sweep, MemorySweep()]
        self.endings: list[Callable[[], None]] = []
        self._is_ending = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweep", daemon=True)

    @property
    def model(self) -> LoadedModel:
        """The model that sessions opened from now on work with."""
        return self.desk.model

    @property
    def model_name(self) -> str:
        """The name of the model in use, without the folder it lies in."""
        return Path(self.model.name).name

    def use_checkpoint(self, checkpoint: int) -> None:
        """Use a checkpoint of the project from now on; 0 is the base model.

        Sessions that are open stay with their model.

        Raises:
            UnknownEntryError: there is none of this number.
            ProjectError: its file was taken away.
            CheckpointError: its file is damaged.
        """
        with self._choosing:
            model = self._load(checkpoint)
            self.project.checkpoints.use(None if checkpoint == BASE else checkpoint)
            self.desk.model, self.checkpoint, self.notice = model, checkpoint, None
        self.sessions.note_knowledge()

    def start(self) -> None:
        """Take up jobs that were running, and begin to save and to end sessions by themselves."""
        self.jobs.take_up()
        self._sweeper.start()

    def close(self) -> None:
        """Stop jobs, save sessions, close the project."""
        self._is_ending.set()
        self.jobs.shut_down()
        self.sessions.shut_down()
        if self._sweeper.is_alive():
            self._sweeper.join()
        for end in self.endings:
            end()
        self._model_thread.shut_down()
        self.project.close()

    def label(self, name: str, colour: Colour | None = None) -> LabelRecord:
        """Return the label of a name, made if it is new; a class or its synonym gives the class.

        Raises:
            LabelError: a name or a colour that cannot be used.
        """
        wanted = check_name(name)
        if self.project.labels.named(wanted) is None:
            wanted = self.class_name(wanted) or wanted
        return self.project.labels.ensure(wanted, colour)

    def class_name(self, name: str) -> str | None:
        """Return the model's own name of a class or its synonym, None if it knows none."""
        if not self.model.segmenter.accepts.classes:
            return None
        try:
            return self.model.concepts.names[self.model.concepts.row(name)]
        except LabelError:
            return None

    def label_numbers(self) -> dict[str, int]:
        """Return the number of every label by name."""
        return {one.name: one.id for one in self.project.labels.all()}

    def propagation_of(self, opened: OpenSession, label: str, sources: list[int]) -> JobRecord:
        """Start to carry a label of an open session through its volume."""
        payload = {"session": opened.holder, "label": label, "sources": sources}
        return self._at_work_on(opened, "propagate", payload)

    def prediction_of(
        self, opened: OpenSession, classes: list[str] | None, labels: list[str] | None
    ) -> JobRecord:
        """Start to predict on all slices of an open session, as `Session.predict` does.

        Raises:
            LabelError: nothing is known about what was asked for.
        """
        session = opened.session
        find_targets(session.model, session.annotation, labels, classes)
        for name in classes or []:
            self.label(name)
        payload = {"session": opened.holder, "classes": classes, "labels": labels}
        return self._at_work_on(opened, "predict", payload)

    def presegmentation_of(self, opened: OpenSession) -> JobRecord:
        """Start to predict on all slices of an open session what the project knows."""
        payload = {"session": opened.holder, "is_presegmentation": True}
        return self._at_work_on(opened, "predict", payload)

    def _at_work_on(self, opened: OpenSession, kind: str, payload: dict[str, Any]) -> JobRecord:
        job = self.jobs.start(kind, payload, opened.author)
        opened.job = job.id
        return job

    def _load(self, checkpoint: int) -> LoadedModel:
        if checkpoint == BASE:
            return self.base
        record = self.project.checkpoints.get(checkpoint)
        return self._model_thread.host(load(self.project.checkpoints.path_of(record)))

    def _open_chosen(self) -> None:
        """Go on with the checkpoint that was in use; where that fails, with the base model."""
        chosen = self.project.checkpoints.current()
        if chosen is None:
            return
        try:
            self.desk.model, self.checkpoint = self._load(chosen.id), chosen.id
        except MedprismError as error:
            self.notice = f"the base model is in use, since checkpoint {chosen.id} fails: {error}"
            _log.warning("a checkpoint could not be opened; the base model is in use")

    def training_of(
        self,
        label: str,
        author: str,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        checkpoint: int | None = None,
        use: bool = True,
    ) -> JobRecord:
        """Start to train the class of a label, for minutes (2 if nothing is said) or steps.

        Raises:
            LabelError: there is no such label.
            ConflictError: too few masks.
            UnknownEntryError: there is no such checkpoint.
        """
        begin = self.checkpoint if checkpoint is None else checkpoint
        self.trainer.check(label, begin)
        payload = {"label": label, "checkpoint": begin, "use": use}
        length = {"minutes": minutes or MINUTES} if steps is None else {"steps": steps}
        return self.jobs.start("training", {**payload, **length}, author)

    def _sweep(self) -> None:
        while not self._is_ending.wait(self.settings.autosave_seconds):
            for sweep in self.sweeps:
                sweep()

    def _presegment(self, job: JobRecord, progress: Progress) -> Outcome:
        return presegment_images(self.desk, job, progress), None

    def _score(self, job: JobRecord, progress: Progress) -> Outcome:
        found = score_references(self.desk, job, progress)
        self.sessions.note_knowledge()
        return found, None

    def _export(self, job: JobRecord, progress: Progress) -> Outcome:
        is_nameless = bool(job.payload.get("deidentify"))
        ending = "-deidentified" if is_nameless else ""
        name = f"export-{job.id}-{job.payload['format']}{ending}.zip"
        result = export_all(
            self.project,
            self.desk.shelf,
            job.payload["format"],
            self.project.exports / name,
            with_logs=bool(job.payload.get("logs")),
            progress=progress,
            deidentify=open_deidentifier() if is_nameless else None,
        )
        return result, name

    def _propagate(self, job: JobRecord, progress: Progress) -> Outcome:
        return carry(self.desk, self.sessions, job, progress), None

    def _training(self, job: JobRecord, progress: Progress) -> Outcome:
        made = self.trainer.train(job, progress)
        if job.payload["use"]:
            self.use_checkpoint(made.id)
        result = {"checkpoint": made.id, "is_current": self.checkpoint == made.id}
        return {**result, "report": made.report}, None

    def _predict(self, job: JobRecord, progress: Progress) -> Outcome:
        return predict(self.desk, self.sessions, job, progress), None
