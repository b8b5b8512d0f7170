"""Checkpoints that a project trained: files that are never overwritten, and which one is in use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.errors import ProjectError, UnknownEntryError
from medprism.project.database import Database, Row, now

SUFFIX: Final = ".safetensors"

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class CheckpointRecord:
    """One trained checkpoint: the class it learned, from which parent, and what was measured.

    `parent` is None for one that began with the base model, the one a server is started with.
    `report` is what the job that made it had as its result.
    """

    id: int
    file: str
    weights_hash: str
    label: int
    label_name: str
    job: int
    parent: int | None
    report: Json
    author: str
    created: str
    is_current: bool


class Checkpoints:
    """The folder of checkpoints and its table.

    A file is whole on the disk before its row is committed; what dies between leaves a file that
    nobody was told about, and `sweep` removes it.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def all(self) -> list[CheckpointRecord]:
        """Return all checkpoints in the order they were made."""
        return self._select("1 = 1", ())

    def get(self, checkpoint: int) -> CheckpointRecord:
        """Return one checkpoint.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        found = self._select("checkpoints.id = ?", (checkpoint,))
        if not found:
            raise UnknownEntryError(
                f"there is no checkpoint {checkpoint}; ask for the list of them"
            )
        return found[0]

    def current(self) -> CheckpointRecord | None:
        """Return the checkpoint in use, None for the base model."""
        found = self._select("is_current = 1", ())
        return found[0] if found else None

    def of_job(self, job: int) -> CheckpointRecord | None:
        """Return the checkpoint that a job made, None if it made none yet."""
        found = self._select("checkpoints.job = ?", (job,))
        return found[0] if found else None

    def add(
        self,
        job: int,
        label: int,
        parent: int | None,
        author: str,
        write: Callable[[Path], tuple[str, Mapping[str, Any]]],
    ) -> CheckpointRecord:
        """Keep what a job trained: `write` makes the file and returns its hash and its report.

        A job has one checkpoint: asked again, the first one is returned and nothing is written.

        Raises:
            WriteError: the disk refuses; there is no checkpoint.
        """
        known = self.of_job(job)
        if known is not None:
            return known
        name = f"checkpoint-{job:06d}{SUFFIX}"
        weights_hash, report = write(self._folder / name)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO checkpoints"
                " (file, weights_hash, label, job, parent, report, author, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (name, weights_hash, label, job, parent, json.dumps(dict(report)), author, now()),
            )
        made = self.of_job(job)
        assert made is not None
        return made

    def use(self, checkpoint: int | None) -> None:
        """Use a checkpoint from now on, None: the base model.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        if checkpoint is not None:
            self.get(checkpoint)
        with self._database.writing() as connection:
            connection.execute("UPDATE checkpoints SET is_current = 0 WHERE is_current = 1")
            if checkpoint is not None:
                connection.execute(
                    "UPDATE checkpoints SET is_current = 1 WHERE id = ?", (checkpoint,)
                )

    def is_there(self, record: CheckpointRecord) -> bool:
        """Return whether the file of a checkpoint is in its place."""
        return (self._folder / record.file).is_file()

    def path_of(self, record: CheckpointRecord) -> Path:
        """Return the file of a checkpoint.

        Raises:
            ProjectError: somebody took it away.
        """
        if not self.is_there(record):
            raise ProjectError(
                f"the file {record.file} of checkpoint {record.id} is missing; restore it from a "
                "copy, or use another checkpoint"
            )
        return self._folder / record.file

    def sweep(self) -> list[str]:
        """Remove files that no row names, left by a process that died; return their names.

        Only safe while no other process writes.
        """
        known = {one.file for one in self.all()}
        left = [
            one
            for one in sorted(self._folder.iterdir())
            if one.is_file() and one.suffix == SUFFIX and one.name not in known
        ]
        for path in left:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return [path.name for path in left]

    def _select(self, condition: str, values: tuple[int, ...]) -> list[CheckpointRecord]:
        rows = self._database.rows(
            "SELECT checkpoints.*, labels.name AS label_name FROM checkpoints"
            f" JOIN labels ON labels.id = checkpoints.label WHERE {condition}"
            " ORDER BY checkpoints.id",
            values,
        )
        return [_record(row) for row in rows]


def _record(row: Row) -> CheckpointRecord:
    return CheckpointRecord(
        id=row["id"],
        file=row["file"],
        weights_hash=row["weights_hash"],
        label=row["label"],
        label_name=row["label_name"],
        job=row["job"],
        parent=row["parent"],
        report=dict(json.loads(row["report"])),
        author=row["author"],
        created=row["created"],
        is_current=bool(row["is_current"]),
    )
