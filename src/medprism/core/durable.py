"""Files and folders that are whole or not there: write to a temporary name, fsync, rename."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from medprism.core.errors import FormatVersionError, WriteError

# How files and folders are called until they are whole.
UNFINISHED: Final = ".writing-"
# Of Linux's renameat2: paths are as given, and both are there before and after.
_HERE: Final = -100
_EXCHANGE: Final = 2


def write_durably(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, make it durable, then rename it.

    The temporary name keeps the suffixes of `path`, since many writers choose by suffix. On any
    failure up to the rename the target is left as it was and the temporary file is removed. Where
    only the folder entry cannot be synced afterwards, the error says so and the new file is whole.

    Raises:
        WriteError: the disk is full, the folder is missing or not writable.
    """
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED, suffix=suffix)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}; choose another folder or free space"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        try:
            write(temporary)
        except OSError as error:
            raise _cannot_write(path, error) from error
        publish(temporary, path)
    finally:
        # A disk that has become read-only refuses this too, and what went wrong is being told.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Make a finished file durable and rename it to `path`, in the same folder.

    Raises:
        WriteError: the disk is full or the folder is not writable.
    """
    try:
        _fsync(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        _fsync(path.parent)
    except OSError as error:
        raise WriteError(
            f"wrote {path}, but its folder cannot be synced ({error.strerror or error}), so the "
            "file may be lost if power fails now; check the disk and write it again"
        ) from error


def write_folder_durably(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` put files into a new folder beside `folder`, make them durable, then rename it.

    A folder that is there is replaced with all that is in it, so whoever calls says whether it may
    be. On any failure it is left as it was. Where system or disk cannot exchange two folders in one
    step (Linux can, on most file systems) there are two: killed between them, the new one is there
    under its temporary name, and the former one beside it.

    Raises:
        WriteError: the disk is full, the parent is missing or not writable.
    """
    try:
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=UNFINISHED))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    former = temporary.with_name(temporary.name.replace(UNFINISHED, ".replaced-"))
    try:
        fill(temporary)
        for path in temporary.iterdir():
            _fsync(path)
            path.chmod(0o644)
        _fsync(temporary)
        temporary.chmod(0o755)
        _exchange(temporary, folder, former)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(former, ignore_errors=True)
    sync_folder(folder.parent)


def _exchange(temporary: Path, folder: Path, former: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        return
    if _swap(temporary, folder):
        return
    folder.rename(former)
    try:
        temporary.rename(folder)
    except OSError:
        former.rename(folder)
        raise


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where that cannot be done."""
    if sys.platform != "linux":
        return False
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call is None:
        return False
    return bool(call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def _cannot_write(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes durably."""
    write_durably(path, lambda temporary: _dump(temporary, content))


def write_json(
    path: Path, kind: str, version: int, payload: Mapping[str, Any], *, is_compact: bool = False
) -> None:
    """Write a JSON document that carries its `format` and `version`.

    Long documents that nobody reads are written on one line, which is many times faster.
    """
    document = {"format": kind, "version": version, **payload}
    form: dict[str, Any] = {"separators": (",", ":")} if is_compact else {"indent": 1}
    write_bytes(path, json.dumps(document, **form).encode())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, after something was created in it by other means.

    Raises:
        WriteError: the folder cannot be synced.
    """
    try:
        _fsync(folder)
    except OSError as error:
        raise WriteError(
            f"cannot sync the folder {folder} ({error.strerror or error}); check the disk"
        ) from error


def make_folder(folder: Path, kind: str = "folder") -> None:
    """Make a folder with its missing parents, durably; one that is there is left alone.

    `kind` is what the message calls it, such as "run folder".

    Raises:
        WriteError: no permission, or a file of that name is in the way.
    """
    try:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"cannot make the {kind} {folder}: {error.strerror}; choose another one"
        ) from error
    for one in reversed(missing):
        sync_folder(one.parent)


def remove_unfinished(folder: Path, *more: str) -> list[str]:
    """Remove what processes that died left half written in a folder and below; return the names.

    `more` are beginnings of other temporary names. Only safe while nobody else writes there.
    """
    found = {path for prefix in (UNFINISHED, *more) for path in folder.rglob(f"{prefix}*")}
    for path in sorted(found):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return sorted(path.name for path in found)


def read_json(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read a JSON document written by `write_json`.

    Raises:
        FormatVersionError: the file is of another format, damaged, or newer than this program.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatVersionError(
            f"{path} cannot be read as a {kind} file ({error}); it may be truncated, restore it"
        ) from error
    if not isinstance(document, dict) or document.get("format") != kind:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise FormatVersionError(
            f"{path} is of format {found!r}, not {kind!r}; choose another file"
        )
    check_version(path, kind, document.get("version"), version)
    return document


def check_version(path: Path, kind: str, found: object, known: int) -> None:
    """Refuse a file whose version is newer than the one this program knows.

    Raises:
        FormatVersionError: the version is newer, below 1 or not a number.
    """
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= known:
        raise FormatVersionError(
            f"{path} has {kind} version {found!r}, this program reads up to {known}; "
            "update medprism"
        )


def _dump(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
