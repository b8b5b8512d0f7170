"""Jobs of one session that somebody watches: a volume predicted, a label carried through it.

They are computed while the session is read; whoever changes it meanwhile wins, and the job fails.
"""

from __future__ import annotations

from typing import Any, Final

from medprism.apps.workbench.open_session import OpenSession
from medprism.apps.workbench.open_sessions import OpenSessions
from medprism.core.errors import ConflictError
from medprism.core.progress import Progress
from medprism.inference.propagation import Propagation, propagate
from medprism.project.annotating import Desk, presegment
from medprism.project.jobs import JobRecord

SHORT_JOBS: Final = frozenset({"propagate", "predict"})

Json = dict[str, Any]


def carry(desk: Desk, sessions: OpenSessions, job: JobRecord, progress: Progress) -> Json:
    """Carry a label from the slices that were worked on through the volume.

    Raises:
        ExpiredError: the session has ended.
        ConflictError: its masks were changed meanwhile.
    """
    opened = sessions.get(str(job.payload["session"]))
    label = str(job.payload["label"])
    sources = [int(one) for one in job.payload["sources"]]
    watching = _Watching(progress, opened)
    found = propagate(opened.session, label, sources, watching)
    with opened.lock:
        opened.confidence[label] = found.confidence
        opened.note_change()
    return _describe(found)


def predict(desk: Desk, sessions: OpenSessions, job: JobRecord, progress: Progress) -> Json:
    """Predict classes and labels on all slices of a session, or what the project knows.

    Raises:
        ExpiredError: the session has ended.
        ConflictError: its masks were changed meanwhile.
        LabelError: nothing is known about what was asked for.
    """
    opened = sessions.get(str(job.payload["session"]))
    watching = _Watching(progress, opened)
    if job.payload.get("is_presegmentation"):
        presegment(desk, opened.session, opened.image, watching, is_aside=True)
    else:
        classes, labels = job.payload["classes"], job.payload["labels"]
        opened.session.predict(labels, classes, progress=watching, is_aside=True)
        desk.project.images.begin(opened.image)
    with opened.lock:
        opened.note_change()
    annotation = opened.session.annotation
    return {"presence": {name: one.presence for name, one in annotation.labels.items()}}


class _Watching:
    """Progress that stops when the session changes under it or ends."""

    def __init__(self, progress: Progress, opened: OpenSession) -> None:
        self._progress, self._opened = progress, opened
        self._revision = opened.revision

    def report(self, done: int, total: int, message: str = "") -> None:
        """Pass the report on.

        Raises:
            ConflictError: somebody worked on while it ran, so its answer would undo that.
        """
        if self._opened.is_closed:
            raise ConflictError("the image was closed meanwhile; open it and ask for it once more")
        if self._opened.revision != self._revision:
            raise ConflictError(
                "the masks were changed while the volume was worked through; ask for it once more"
            )
        self._progress.report(done, total, message)

    def is_cancelled(self) -> bool:
        """Return whether it should stop."""
        return self._progress.is_cancelled()


def _describe(found: Propagation) -> Json:
    return {
        "sources": list(found.sources),
        "first": found.first,
        "last": found.last,
        "confidence": list(found.confidence),
        "least_certain": found.least_certain,
    }
