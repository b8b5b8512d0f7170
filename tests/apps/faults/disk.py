"""A disk that gives way before the n-th call that changes it: killed, full, or read-only.

Only for a process of its own, since nothing is put back. Calls of Python are met one by one
(opening for writing, every write of a file, fsync, names, folders, permissions, statements of
SQLite); what libraries in C write is met by `limit_file_size`, where the kernel itself refuses.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

# What a full disk still does: it takes away and renames.
_NEEDS_SPACE: Final = frozenset({"open", "write", "mkdir", "fsync", "statement"})
_WRITING: Final = frozenset("wax+")
# Statements that change nothing on the disk, or only give back what was asked for.
_HARMLESS: Final = ("SELECT", "ROLLBACK", "PRAGMA")


class Disk:
    """Counts the calls that change what is below a folder, and gives way at one of them.

    `how` is "kill" (the process dies, a write half done), "full" or "readonly" (that call and all
    that follow are refused). With `at` 0 it only counts.
    """

    def __init__(self, root: Path, at: int, how: str) -> None:
        self._root = f"{root.resolve()}{os.sep}"
        self._at, self._how = at, how
        self._lock = threading.Lock()
        self.count = 0

    def watches(self, file: object) -> bool:
        """Return whether a path or an open file lies below the folder."""
        try:
            is_open = isinstance(file, int)
            path = Path(f"/proc/self/fd/{file}").readlink() if is_open else Path(os.fsdecode(file))
        except (TypeError, OSError):
            return False
        path = path.absolute()
        # The parent alone is resolved, since a link may be about to be made or removed.
        return str(path.parent.resolve() / path.name).startswith(self._root)

    def point(self, kind: str, tear: Callable[[], object] | None = None) -> None:
        """Count a call of a kind that is about to be made; `tear` does half of it."""
        with self._lock:
            self.count += 1
            is_due = self.count == self._at
            is_past = 0 < self._at < self.count
        if self._how == "kill" and is_due:
            if tear is not None:
                tear()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._how == "kill" or not (is_due or is_past):
            return
        if self._how == "readonly":
            self._refuse(kind, errno.EROFS)
        elif kind in _NEEDS_SPACE:
            if tear is not None:
                tear()
            self._refuse(kind, errno.ENOSPC)

    @staticmethod
    def _refuse(kind: str, code: int) -> None:
        if kind == "statement":
            said = {errno.EROFS: "attempt to write a readonly database"}
            raise sqlite3.OperationalError(said.get(code, "database or disk is full"))
        raise OSError(code, os.strerror(code))

    def install(self) -> None:
        """Meet all calls of this process from now on."""
        for name in ("fsync", "fdatasync", "ftruncate"):
            self._wrap(name, lambda args: args[0])
        for name in ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate"):
            self._wrap(name, lambda args: args[0])
        for name in ("rename", "replace", "link"):
            self._wrap(name, lambda args: args[1])
        os.open = self._open_descriptor(os.open)
        os.write = self._write_descriptor(os.write)
        io.open = builtins.open = self._open(io.open)
        sqlite3.connect = partial(sqlite3.connect, factory=_connection_on(self))

    def _wrap(self, name: str, target: Callable[[tuple[Any, ...]], object]) -> None:
        real = getattr(os, name)
        kind = {"fdatasync": "fsync", "ftruncate": "write"}.get(name, name)

        def met(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if kwargs.get("dir_fd") is None and self.watches(target(args)):
                self.point(kind)
            return real(*args, **kwargs)

        setattr(os, name, met)

    def _open_descriptor(self, real: Callable[..., int]) -> Callable[..., int]:
        def met(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes and kwargs.get("dir_fd") is None and self.watches(path):
                self.point("open")
            return real(path, flags, *args, **kwargs)

        return met

    def _write_descriptor(self, real: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def met(handle: int, data: Any) -> int:  # noqa: ANN401
            if self.watches(handle):
                self.point("write", lambda: real(handle, data[: len(data) // 2]))
            return real(handle, data)

        return met

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def met(
            file: Any,  # noqa: ANN401
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Callable[[str, int], int] | None = None,
        ) -> Any:  # noqa: ANN401
            if not _WRITING & set(mode) or not self.watches(file):
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            if not isinstance(file, int):
                self.point("open")
            letters = mode.replace("b", "").replace("t", "")
            raw = _MetFile(self, file, letters, closefd, opener)
            if buffering == 0:
                return raw
            whole = io.BufferedRandom(raw) if "+" in letters else io.BufferedWriter(raw)
            if "b" in mode:
                return whole
            text = io.TextIOWrapper(whole, encoding, errors, newline, line_buffering=buffering == 1)
            text.mode = mode
            return text

        return met


class _MetFile(io.FileIO):
    """A file whose writes are counted."""

    def __init__(self, disk: Disk, file: Any, *args: Any) -> None:  # noqa: ANN401
        super().__init__(file, *args)
        self._disk = disk

    def write(self, data: Any) -> int:  # noqa: ANN401
        """Write, or half of it."""
        whole = super().write
        self._disk.point("write", lambda: whole(memoryview(data)[: len(data) // 2]))
        return whole(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut."""
        self._disk.point("write")
        return super().truncate(size)


def _connection_on(disk: Disk) -> type[sqlite3.Connection]:
    """Return connections whose statements are counted."""

    class MetConnection(sqlite3.Connection):
        def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:  # noqa: ANN401
            if not statement.lstrip().upper().startswith(_HARMLESS):
                disk.point("statement")
            return super().execute(statement, *args)

    return MetConnection


def limit_file_size(size: int) -> None:
    """Let the kernel refuse to make any file larger than a size in bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
