"""Everything a running server has: the project, the model, open sessions and jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from medprism.apps.workbench.job_runner import JobRunner, Outcome
from medprism.apps.workbench.open_session import OpenSession
from medprism.apps.workbench.open_sessions import OpenSessions
from medprism.apps.workbench.pictures import Windows
from medprism.apps.workbench.settings import WorkbenchSettings
from medprism.apps.workbench.turns import ModelTurns
from medprism.core.errors import ConflictError, LabelError, MedprismError
from medprism.core.progress import Progress
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.inference.memory import Memory
from medprism.inference.propagation import Propagation, propagate
from medprism.io.mask_file import Colour
from medprism.project.annotating import Desk
from medprism.project.batch import presegment_images, score_references
from medprism.project.export import export_all
from medprism.project.jobs import JobRecord
from medprism.project.labels import LabelRecord, check_name
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf

_log = logging.getLogger(__name__)

# The number of the model that the server was started with among the checkpoints.
BASE: Final = 0
SHORT_JOBS: Final = frozenset({"propagate"})


class Workbench:
    """One server's state; `close` saves everything."""

    def __init__(self, project: Project, model: LoadedModel, settings: WorkbenchSettings) -> None:
        self.project = project
        self.base = model
        self.settings = settings
        self.notice: str | None = None
        memory = Memory.of(settings.encodings_bytes, settings.maps_bytes)
        self.desk = Desk(project, model, ImageShelf(project, settings.images_bytes), memory)
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
            },
            SHORT_JOBS,
        )
        self._open_chosen()
        self.sweeps: list[Callable[[], None]] = [self.sessions.sweep]
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
        return self.jobs.start("propagate", payload, opened.author)

    def _load(self, checkpoint: int) -> LoadedModel:
        if checkpoint == BASE:
            return self.base
        record = self.project.checkpoints.get(checkpoint)
        return load(self.project.checkpoints.path_of(record))

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
        name = f"export-{job.id}-{job.payload['format']}.zip"
        result = export_all(
            self.project,
            self.desk.shelf,
            job.payload["format"],
            self.project.exports / name,
            with_logs=bool(job.payload.get("logs")),
            progress=progress,
        )
        return result, name

    def _propagate(self, job: JobRecord, progress: Progress) -> Outcome:
        opened = self.sessions.get(str(job.payload["session"]))
        label = str(job.payload["label"])
        sources = [int(one) for one in job.payload["sources"]]
        before = opened.revision
        session, scratch = opened.session, self.desk.scratch()
        found = propagate(session, scratch, label, sources, _Watching(progress, opened, before))
        with opened.lock:
            opened.confidence[label] = found.confidence
            opened.note_change()
        return _describe(found), None


class _Watching:
    """Progress of a propagation: it stops when its session changes under it or ends."""

    def __init__(self, progress: Progress, opened: OpenSession, revision: int) -> None:
        self._progress, self._opened, self._revision = progress, opened, revision

    def report(self, done: int, total: int, message: str = "") -> None:
        """Pass the report on.

        Raises:
            ConflictError: somebody worked on while it ran, so its answer would undo that.
        """
        if self._opened.is_closed or self._opened.revision != self._revision:
            raise ConflictError(
                "the masks were changed while the label was carried through the volume; propagate "
                "once more"
            )
        self._progress.report(done, total, message)

    def is_cancelled(self) -> bool:
        """Return whether it should stop."""
        return self._progress.is_cancelled()


def _describe(found: Propagation) -> dict[str, Any]:
    return {
        "sources": list(found.sources),
        "first": found.first,
        "last": found.last,
        "confidence": list(found.confidence),
        "least_certain": found.least_certain,
    }
