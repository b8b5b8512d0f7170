"""The SQLite file of a project: one connection that threads take in turns, durable at commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from medprism.core.durable import sync_folder
from medprism.core.errors import FormatVersionError, ProjectError, WriteError
from medprism.project.migrations import MIGRATIONS, Migration

# A text that marks the file as ours: "mdpr" in SQLite's header.
APPLICATION: Final = 0x6D647072
_BUSY_SECONDS: Final = 10.0

Row: TypeAlias = sqlite3.Row
Value: TypeAlias = str | int | float | None


class Database:
    """Reads and writes; a write is on the disk when its block ends, or has not happened.

    The journal is a write-ahead log that is synced at every commit, so neither a killed process
    nor a power failure undoes a commit.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        """Open or create the file and bring it to the present version.

        Raises:
            ProjectError: it is no project of ours, or damaged.
            FormatVersionError: a newer version wrote it.
            WriteError: it cannot be created or changed.
        """
        self._path = path
        self._lock = threading.RLock()
        is_new = not path.exists()
        with self._told():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            try:
                self._prepare(migrations)
            except BaseException:
                self._connection.close()
                raise
        if is_new:
            sync_folder(path.parent)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Do everything in the block, durably, or nothing.

        Raises:
            WriteError: the disk refuses; nothing has changed.
        """
        with self._lock, self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[Row]:
        """Return all rows of a query."""
        with self._lock, self._told():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Value] = ()) -> Row | None:
        """Return the first row of a query, None if there is none."""
        found = self.rows(query, values)
        return found[0] if found else None

    def close(self) -> None:
        """Write the log back into the file and close it."""
        with self._lock:
            self._connection.close()

    def _prepare(self, migrations: Sequence[Migration]) -> None:
        found = self._connection.execute("PRAGMA application_id").fetchone()[0]
        tables = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if found != APPLICATION and tables:
            raise ProjectError(
                f"{self._path} is a database of another program; choose another folder"
            )
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"application_id = {APPLICATION}",
        ):
            self._connection.execute(f"PRAGMA {setting}").fetchall()
        with self.writing() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS version (number INTEGER PRIMARY KEY, applied TEXT)"
            )
        version = self.version
        if version > len(migrations):
            raise FormatVersionError(
                f"{self._path} has project version {version}, this program reads up to "
                f"{len(migrations)}; update medprism"
            )
        for number, migration in enumerate(migrations[version:], start=version + 1):
            with self.writing() as connection:
                for statement in migration:
                    connection.execute(statement)
                connection.execute("INSERT INTO version VALUES (?, ?)", (number, now()))

    @property
    def version(self) -> int:
        """Number of steps that were applied to the file."""
        found = self.row("SELECT COALESCE(MAX(number), 0) AS number FROM version")
        return 0 if found is None else int(found["number"])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the database's own errors into sentences."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise WriteError(
                f"cannot use the project file {self._path}: {error}; free space, close other "
                "programs that use it, and try again"
            ) from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise ProjectError(
                f"the project file {self._path} is damaged ({error}); restore it from a copy, the "
                "accepted masks beside it are whole files"
            ) from error


def now() -> str:
    """Return the time in UTC as ISO 8601, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def as_dict(row: Row) -> dict[str, Any]:
    """Return a row by column name."""
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 (a Row iterates over values)
