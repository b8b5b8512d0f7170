"""Images in a folder and its subfolders, by content: pictures, volumes, DICOM series."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.io.dicom_series import group_series
from medprism.io.recognise import of_content

_HEAD: Final = 1024
# Formats that hold masks, not images.
_NO_IMAGES: Final = frozenset({"coco"})


@dataclass(frozen=True)
class Found:
    """One image: a path relative to the folder that was searched, and which part of it.

    `part` is a SeriesInstanceUID where the path is a folder of DICOM files, else None.
    """

    name: str
    path: str
    part: str | None = None


def discover(root: Path, leave_out: Path | None = None) -> list[Found]:
    """Return the images below a folder, folder by folder, in the order of their names.

    Hidden files and folders, links that lead elsewhere, and `leave_out` are passed over.
    """
    top = root.resolve()
    found: list[Found] = []
    for folder, files in _walk(top, leave_out):
        dicom: list[Path] = []
        for path in files:
            kind = _kind(path)
            if kind == "dicom":
                dicom.append(path)
            elif kind is not None and kind not in _NO_IMAGES:
                relative = path.relative_to(top).as_posix()
                found.append(Found(relative, relative))
        found.extend(_series(top, folder, dicom))
    return found


def _walk(top: Path, leave_out: Path | None) -> Iterator[tuple[Path, list[Path]]]:
    skipped = None if leave_out is None else leave_out.resolve()
    for name, folders, files in os.walk(top):
        here = Path(name)
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and here / one != skipped
        )
        inside = [here / one for one in sorted(files) if not one.startswith(".")]
        yield here, [path for path in inside if _is_inside(path, top)]


def _is_inside(path: Path, top: Path) -> bool:
    return path.is_file() and (not path.is_symlink() or top in path.resolve().parents)


def _kind(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return of_content(stream.read(_HEAD))
    except OSError:
        return None


def _series(top: Path, folder: Path, files: Sequence[Path]) -> Iterator[Found]:
    grouped = group_series(files)
    where = folder.relative_to(top).as_posix()
    stacks = [one for one in grouped if len(one.files) > 1]
    for one in grouped:
        if len(one.files) == 1:
            relative = one.files[0].relative_to(top).as_posix()
            yield Found(relative, relative)
            continue
        shown = "series" if where == "." else where
        numbered = f"{shown} ({one.number or stacks.index(one) + 1})"
        yield Found(shown if len(stacks) == 1 else numbered, where, one.uid)
