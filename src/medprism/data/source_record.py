"""What the source files of a dataset were when they were last read: size, time and SHA-256."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from medprism.core.durable import read_json, write_json
from medprism.core.errors import FormatVersionError

FORMAT: Final = "medprism-slice-store-sources"
VERSION: Final = 1
# Some file systems count time in steps of two seconds.
_SETTLED_NS: Final = 2_000_000_000
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True)
class Stamp:
    """Size and modification time of a file, and the SHA-256 of its bytes (or `UNREADABLE`).

    A stamp that is not `is_settled` is not believed again: the file was changed so shortly before
    that a further change might leave its time as it was, or it could not be read at all.
    """

    size: int
    mtime_ns: int
    sha256: str
    is_settled: bool = True

    def fits(self, path: Path) -> bool:
        """Whether the file still has the size and time of the stamp; its bytes are not read."""
        try:
            now = path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns)


def stamp_files(
    paths: Iterable[Path],
    known: Mapping[str, Stamp],
    near: Path,
    *,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> dict[Path, Stamp]:
    """Return the stamps of files, reading only those whose size or time is not the known one.

    So a file that was changed while keeping its size and its modification time to the nanosecond
    is not noticed; nothing but tools that set times back does that. `known` is keyed by paths
    relative to the folder `near`. `check` is called between files and may raise.
    """
    stamps: dict[Path, Stamp] = {}
    unknown: list[Path] = []
    for path in paths:
        stamp = known.get(_key(path, near))
        if stamp is not None and stamp.fits(path):
            stamps[path] = stamp
        else:
            unknown.append(path)
    for path, stamp in _read_all(unknown, threads, check):
        stamps[path] = stamp
    return stamps


def _read_all(
    paths: list[Path], threads: int, check: Callable[[], None]
) -> Iterator[tuple[Path, Stamp]]:
    # Threads, since hashing and reading both let go of the interpreter.
    with ThreadPoolExecutor(threads) as pool:
        try:
            for path, stamp in zip(paths, pool.map(_read, paths), strict=True):
                check()
                yield path, stamp
        finally:
            pool.shutdown(cancel_futures=True)


def _read(path: Path) -> Stamp:
    begun = time.time_ns()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            sha = hashlib.file_digest(file, partial(hashlib.sha256, usedforsecurity=False))
    except OSError:
        return Stamp(0, 0, UNREADABLE, is_settled=False)
    is_settled = begun - found.st_mtime_ns >= _SETTLED_NS
    return Stamp(found.st_size, found.st_mtime_ns, sha.hexdigest(), is_settled)


def write_record(path: Path, stamps: Mapping[Path, Stamp], near: Path) -> None:
    """Write the stamps that may be believed, keyed by paths relative to the folder `near`."""
    files = {
        _key(source, near): [stamp.size, stamp.mtime_ns, stamp.sha256]
        for source, stamp in stamps.items()
        if stamp.is_settled
    }
    write_json(path, FORMAT, VERSION, {"files": files}, is_compact=True)


def read_record(path: Path) -> dict[str, Stamp]:
    """Return the stamps of a record, none where there is no record.

    Raises:
        FormatVersionError: the record is damaged or of a newer version.
    """
    if not path.exists():
        return {}
    payload = read_json(path, FORMAT, VERSION)
    try:
        return {
            key: Stamp(int(size), int(mtime_ns), str(sha256))
            for key, (size, mtime_ns, sha256) in payload["files"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatVersionError(
            f"{path} is damaged ({error}); delete it, and all sources are read again"
        ) from error


def _key(path: Path, near: Path) -> str:
    return os.path.relpath(path, near)
