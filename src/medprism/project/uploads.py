"""Images that people hand in: written whole into the project, then looked at."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from medprism.core.durable import make_folder, write_durably
from medprism.core.errors import MedprismError, ProjectError
from medprism.io.recognise import recognise
from medprism.project.confinement import safe_name
from medprism.project.discovery import Found, discover
from medprism.project.images import ImageRecord
from medprism.project.project import Project

_CHUNK = 1 << 20


@runtime_checkable
class Stream(Protocol):
    """Bytes that arrive piece by piece."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes; none at the end."""


@dataclass(frozen=True, eq=False)
class Upload:
    """A file that somebody sends: the name they gave it, and its content as a stream."""

    name: str
    content: Stream


@dataclass(frozen=True)
class UploadReport:
    """What became of uploaded files; `refused` pairs a name with the reason."""

    added: tuple[ImageRecord, ...]
    refused: tuple[tuple[str, str], ...]


def add_uploads(project: Project, uploads: Sequence[Upload], limit_bytes: int) -> UploadReport:
    """Add uploaded images; the DICOM files of one call are grouped into series.

    Every call has a folder of its own, so that equal names do not meet. A file over the limit or
    of no known format is refused, the others are added.

    Raises:
        WriteError: the disk refuses.
    """
    folder = project.uploads / secrets.token_hex(6)
    make_folder(folder)
    refused: list[tuple[str, str]] = []
    for one in uploads:
        try:
            _keep(folder, one, limit_bytes)
        except ProjectError as error:
            refused.append((one.name, str(error)))
    found = discover(folder)
    covered = _covered(folder, [one.path for one in found])
    for path in sorted(folder.iterdir()):
        if path.name not in covered:
            refused.append((path.name, _why_not(path)))
            path.unlink()
    if not found:
        shutil.rmtree(folder, ignore_errors=True)
    # Names are those of the files; the folder only keeps them apart.
    placed = [
        Found(
            one.name if one.name != "series" else f"series {folder.name[:4]}",
            f"{folder.name}/{one.path}" if one.path != "." else folder.name,
            one.part,
        )
        for one in found
    ]
    added = project.images.add(placed, is_uploaded=True)
    return UploadReport(tuple(added), tuple(refused))


def _keep(folder: Path, upload: Upload, limit_bytes: int) -> None:
    path = folder / safe_name(upload.name)
    while path.exists():
        path = path.with_name(f"{secrets.token_hex(2)}-{path.name}"[-160:])

    def copy(temporary: Path) -> None:
        size = 0
        with temporary.open("wb") as target:
            while chunk := upload.content.read(_CHUNK):
                size += len(chunk)
                if size > limit_bytes:
                    raise ProjectError(
                        f"it is larger than {limit_bytes / 2**20:.0f} MiB, the limit of this "
                        "server; put it into the project's folder instead"
                    )
                target.write(chunk)

    write_durably(path, copy)


def _covered(folder: Path, paths: Sequence[str]) -> set[str]:
    """Return the names of files that an image was found in; a series covers all DICOM files."""
    names = {Path(one).name for one in paths if one != "."}
    if "." in paths:
        for path in folder.iterdir():
            try:
                if recognise(path) == "dicom":
                    names.add(path.name)
            except MedprismError:
                continue
    return names


def _why_not(path: Path) -> str:
    try:
        kind = recognise(path)
    except MedprismError as error:
        return str(error)
    return f"it is {kind} but no image; add the image it belongs to"
