"""Long work as rows: what was asked, how far it is, what is done already and need not be again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from medprism.core.errors import ConflictError, UnknownEntryError
from medprism.project.database import Database, Row, now

JOB_STATES: Final = ("queued", "running", "done", "failed", "cancelled")
UNENDED: Final = ("queued", "running")

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class JobRecord:
    """One job; `payload` is what was asked, `result` what came out, `file` a file it made."""

    id: int
    kind: str
    payload: Json
    state: str
    done: int
    total: int
    message: str
    author: str
    created: str
    ended: str | None
    result: Json | None
    file: str | None

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens unless it is resumed."""
        return self.state not in UNENDED


class Jobs:
    """The table of jobs and of their finished items."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, payload: Mapping[str, Any], author: str) -> JobRecord:
        """Queue a job."""
        with self._database.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO jobs (kind, payload, author, created) VALUES (?, ?, ?, ?)",
                (kind, json.dumps(dict(payload)), author, now()),
            )
            number = int(cursor.lastrowid or 0)
        return self.get(number)

    def get(self, job: int) -> JobRecord:
        """Return one job.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        row = self._database.row("SELECT * FROM jobs WHERE id = ?", (job,))
        if row is None:
            raise UnknownEntryError(f"there is no job {job}; ask for the list of jobs")
        return _record(row)

    def latest(self, limit: int = 100) -> list[JobRecord]:
        """Return the latest jobs, the last one first."""
        rows = self._database.rows("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", (limit,))
        return [_record(row) for row in rows]

    def unended(self) -> list[JobRecord]:
        """Return what waits or runs, in the order it was asked for."""
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY id"
        )
        return [_record(row) for row in rows]

    def report(self, job: int, done: int, total: int, message: str) -> None:
        """Keep how far a job is."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'running', done = ?, total = ?, message = ?"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (done, total, message, job),
            )

    def end(
        self,
        job: int,
        state: str,
        message: str = "",
        result: Mapping[str, Any] | None = None,
        file: str | None = None,
    ) -> JobRecord:
        """Say how a job ended: done, failed or cancelled. One that has ended stays as it is."""
        written = None if result is None else json.dumps(dict(result))
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, message = ?, result = ?, file = ?, ended = ?"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (state, message, written, file, now(), job),
            )
        return self.get(job)

    def resume(self, job: int) -> JobRecord:
        """Queue a cancelled or failed job again; its finished items stay finished.

        Raises:
            ConflictError: it is done, waits or runs.
        """
        known = self.get(job)
        if known.state not in ("cancelled", "failed"):
            raise ConflictError(
                f"job {job} is {known.state}; only a cancelled or failed one can be resumed"
            )
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', ended = NULL, message = '' WHERE id = ?", (job,)
            )
        return self.get(job)

    def finish_item(self, job: int, item: str, outcome: Mapping[str, Any]) -> None:
        """Keep that one item of a job is done, and what came out."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO job_items VALUES (?, ?, ?)",
                (job, item, json.dumps(dict(outcome))),
            )

    def finished_items(self, job: int) -> dict[str, Json]:
        """Return the items that are done, with what came out."""
        rows = self._database.rows("SELECT item, outcome FROM job_items WHERE job = ?", (job,))
        return {str(row["item"]): dict(json.loads(row["outcome"])) for row in rows}


def _record(row: Row) -> JobRecord:
    result = row["result"]
    return JobRecord(
        id=row["id"],
        kind=row["kind"],
        payload=dict(json.loads(row["payload"])),
        state=row["state"],
        done=row["done"],
        total=row["total"],
        message=row["message"],
        author=row["author"],
        created=row["created"],
        ended=row["ended"],
        result=None if result is None else dict(json.loads(result)),
        file=row["file"],
    )
