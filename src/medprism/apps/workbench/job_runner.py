"""Jobs beside the server, one after the other; they stop when asked and go on after a restart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeAlias

from medprism.apps.workbench.turns import Courteous, ModelTurns
from medprism.core.errors import CancelledError, MedprismError
from medprism.core.progress import Progress
from medprism.project.jobs import JobRecord, Jobs

_log = logging.getLogger(__name__)

_WRITE_EVERY: Final = 0.5

# A job's outcome, and the name of a file it made among the project's exports.
Outcome: TypeAlias = tuple[dict[str, Any], str | None]
Run: TypeAlias = Callable[[JobRecord, Progress], Outcome]


class _JobProgress:
    """Progress of one job: shown at once, written to the table now and then."""

    def __init__(self, jobs: Jobs, job: JobRecord, is_stopping: threading.Event) -> None:
        self._jobs = jobs
        self._written = 0.0
        self._is_stopping = is_stopping
        self.is_unwanted = threading.Event()
        self.shown = job

    def report(self, done: int, total: int, message: str = "") -> None:
        """Show how far the job is."""
        self.shown = replace(self.shown, state="running", done=done, total=total, message=message)
        if time.monotonic() - self._written >= _WRITE_EVERY or done == total:
            self._jobs.report(self.shown.id, done, total, message)
            self._written = time.monotonic()

    def is_cancelled(self) -> bool:
        """Return whether somebody cancelled it, or the server ends."""
        return self.is_unwanted.is_set() or self._is_stopping.is_set()


class JobRunner:
    """Two lanes: long work over many images, and short work for a session that somebody watches.

    `kinds` says how a kind of job is run; those in `short` belong to a session and are not taken
    up again after a restart.
    """

    def __init__(
        self, jobs: Jobs, turns: ModelTurns, kinds: Mapping[str, Run], short: frozenset[str]
    ) -> None:
        self._jobs = jobs
        self._turns = turns
        self._kinds = kinds
        self._short = short
        self._lock = threading.Lock()
        self._running: dict[int, _JobProgress] = {}
        self._stopping = threading.Event()
        self._long_lane = ThreadPoolExecutor(1, thread_name_prefix="job")
        self._short_lane = ThreadPoolExecutor(1, thread_name_prefix="short-job")

    def take_up(self) -> None:
        """Go on with what waited or ran when the server ended."""
        for job in self._jobs.unended():
            if job.kind in self._short or job.kind not in self._kinds:
                self._jobs.end(
                    job.id, "failed", "the server ended while it ran; start it once more"
                )
            else:
                self._submit(job)

    def start(self, kind: str, payload: Mapping[str, Any], author: str) -> JobRecord:
        """Queue a job."""
        job = self._jobs.add(kind, payload, author)
        self._submit(job)
        return job

    def show(self, job: int) -> JobRecord:
        """Return a job as it stands at this moment.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        with self._lock:
            progress = self._running.get(job)
        stored = self._jobs.get(job)
        if stored.is_ended or progress is None:
            return stored
        return progress.shown

    def cancel(self, job: int) -> JobRecord:
        """Ask a job to stop; one that has ended stays as it is."""
        stored = self._jobs.get(job)
        with self._lock:
            progress = self._running.get(job)
            if progress is not None:
                progress.is_unwanted.set()
            elif not stored.is_ended:
                self._jobs.end(job, "cancelled", "cancelled before it began")
        return self.show(job)

    def resume(self, job: int) -> JobRecord:
        """Go on with a cancelled or failed job.

        Raises:
            ConflictError: it is neither, or belonged to a session that is over.
        """
        resumed = self._jobs.resume(job)
        self._submit(resumed)
        return self.show(job)

    def is_short(self, kind: str) -> bool:
        """Return whether jobs of a kind belong to a session."""
        return kind in self._short

    def shut_down(self) -> None:
        """Stop at the next safe point; what ran is taken up at the next start."""
        self._stopping.set()
        self._long_lane.shutdown(wait=True, cancel_futures=True)
        self._short_lane.shutdown(wait=True, cancel_futures=True)

    def _submit(self, job: JobRecord) -> None:
        lane = self._short_lane if job.kind in self._short else self._long_lane
        lane.submit(self._run, job.id)

    def _run(self, number: int) -> None:
        # Under the lock: a job cancelled at this moment must either not begin or be stopped.
        with self._lock:
            job = self._jobs.get(number)
            if job.is_ended or self._stopping.is_set():
                return
            progress = _JobProgress(self._jobs, job, self._stopping)
            self._running[number] = progress
        try:
            progress.report(job.done, job.total, "")
            result, file = self._kinds[job.kind](job, Courteous(self._turns, progress))
            self._jobs.report(number, progress.shown.done, progress.shown.total, "")
            self._jobs.end(number, "done", "", result, file)
        except CancelledError as error:
            if progress.is_unwanted.is_set():
                self._jobs.end(number, "cancelled", str(error))
        except MedprismError as error:
            self._jobs.end(number, "failed", str(error))
        except Exception as error:
            # The thread must live on for the next job; the class alone, as texts may name files.
            _log.error("job of kind %s: %s", job.kind, type(error).__name__)
            sentence = f"this is a bug in medprism ({type(error).__name__}); what is done stays"
            self._jobs.end(number, "failed", sentence)
        finally:
            with self._lock:
                self._running.pop(number, None)
