"""Accepted masks and prompt logs in other programs' formats, at any time."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from medprism.core.durable import write_durably
from medprism.core.errors import (
    CancelledError,
    ConfigError,
    ConflictError,
    MedprismError,
    WriteError,
)
from medprism.core.progress import Progress
from medprism.io.deidentify import Deidentifier
from medprism.io.mask_export import Algorithm
from medprism.io.writer import FOLDER_FORMATS, MASK_FORMATS, MaskFormat, write_mask
from medprism.project.images import ImageRecord
from medprism.project.masks import as_labels
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf

FORMAT: Final = "medprism-export"
VERSION: Final = 1
EXPORT_FORMATS: Final[dict[str, MaskFormat]] = {**MASK_FORMATS, **FOLDER_FORMATS}
# What an acceptance says of a label; who accepted it and when tells of people.
_TELLING_NOBODY: Final = ("label", "name", "pixels", "is_current")
_LEFT_OUT: Final = "it has no mask in this format; the workbench it comes from says why"


@dataclass(frozen=True)
class _Wish:
    """What goes into an archive: the format of masks, logs or none, names or none."""

    format: str
    with_logs: bool
    deidentify: Deidentifier | None

    def __post_init__(self) -> None:
        if self.with_logs and self.deidentify is not None:
            raise ConfigError(
                "a prompt log names files and people, so an export without identity cannot hold "
                "it; leave the logs out, or keep the names"
            )


def mask_file_name(image: ImageRecord, format: str, *, is_named: bool = True) -> str:
    """Return the name of an image's mask file in a format, unique in the project.

    It ends with the name of the image, unless it must not be `is_named`.

    Raises:
        WriteError: an unknown format.
    """
    if format not in EXPORT_FORMATS:
        raise WriteError(f"there is no format {format!r}; choose {', '.join(EXPORT_FORMATS)}")
    suffix = EXPORT_FORMATS[format].suffixes[0]
    if not is_named:
        return f"{image.id:06d}{suffix}"
    stem = image.name.replace("/", "_").replace("\\", "_")
    return f"{image.id:06d}-{stem}{suffix}"


def export_image(
    project: Project,
    shelf: ImageShelf,
    image: ImageRecord,
    format: str,
    target: Path,
    *,
    deidentify: Deidentifier | None = None,
) -> None:
    """Write the accepted masks of one image, on the image's grid: a file, or a folder of slices.

    With `deidentify` it does not say who the image is of (see `io.writer.write_mask`).

    Raises:
        ConflictError: nothing was accepted on it.
        WriteError: an unknown format, or one that cannot hold masks of this image.
    """
    like = shelf.get(image.id)
    planes, accepted = as_labels(project.masks, image.id, like)
    if not len(planes):
        raise ConflictError(f"no mask was accepted on {image.name}; accept one, then export")
    colours = {one.name: one.colour for one in project.labels.all() if one.name in accepted}
    write_mask(
        target,
        planes,
        like,
        format=format,
        colours=colours,
        algorithm=Algorithm(helped=frozenset(accepted)),
        deidentify=deidentify,
    )


def export_all(
    project: Project,
    shelf: ImageShelf,
    format: str,
    target: Path,
    *,
    with_logs: bool,
    progress: Progress,
    deidentify: Deidentifier | None = None,
) -> dict[str, Any]:
    """Write all accepted masks, and prompt logs if wanted, into one ZIP; return what is in it.

    `export.json` inside lists every image with who accepted what and when, and why an image is
    not there (a picture has no RTSTRUCT, ...). With `deidentify` images have numbers alone, and
    neither people nor times are named; what is returned, which stays here, names the images.

    Raises:
        CancelledError: the progress asked to stop; there is no file.
        ConfigError: logs, which name files and people, and `deidentify`.
        WriteError: the disk refuses.
    """
    wish = _Wish(format, with_logs, deidentify)
    accepted = project.masks.labels_by_image()
    images = [one for one in project.images.find() if one.id in accepted or with_logs]
    entries: list[dict[str, Any]] = []

    def fill(temporary: Path) -> None:
        with (
            TemporaryDirectory(dir=target.parent, prefix=".exporting-") as folder,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for done, image in enumerate(images):
                if progress.is_cancelled():
                    raise CancelledError("the export was cancelled; there is no file")
                progress.report(done, len(images), image.name)
                entry = _add(project, shelf, image, wish, Path(folder), archive)
                if with_logs:
                    _add_log(project, image, archive, entry)
                entries.append(entry)
            _put(archive, "export.json", json.dumps(_report(entries, wish), indent=1).encode())

    write_durably(target, fill)
    progress.report(len(images), len(images), "")
    return {
        "images": sum(entry["mask"] is not None for entry in entries),
        "logs": sum(entry["log"] is not None for entry in entries),
        "left_out": [
            {"name": entry["name"], "message": entry["message"]}
            for entry in entries
            if entry["message"] is not None
        ],
    }


def _report(entries: list[dict[str, Any]], wish: _Wish) -> dict[str, Any]:
    """Return what `export.json` says."""
    is_nameless = wish.deidentify is not None
    return {
        "format": FORMAT,
        "version": VERSION,
        "masks": wish.format,
        "is_deidentified": is_nameless,
        "images": [_without_names(one) for one in entries] if is_nameless else entries,
    }


def _without_names(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what may be said of an image to whom must not know who it is of."""
    return {
        **entry,
        "name": f"{entry['image']:06d}",
        "message": None if entry["message"] is None else _LEFT_OUT,
        "accepted": [{key: one[key] for key in _TELLING_NOBODY} for one in entry["accepted"]],
    }


def _add(
    project: Project,
    shelf: ImageShelf,
    image: ImageRecord,
    wish: _Wish,
    folder: Path,
    archive: zipfile.ZipFile,
) -> dict[str, Any]:
    accepted = [asdict(one) for one in project.masks.of(image.id, with_former=True)]
    entry: dict[str, Any] = {
        "image": image.id,
        "name": image.name,
        "state": image.state,
        "mask": None,
        "log": None,
        "message": None,
        "accepted": accepted,
    }
    if not any(one["file"] is not None and one["is_current"] for one in accepted):
        return entry
    name = mask_file_name(image, wish.format, is_named=wish.deidentify is None)
    written = folder / name
    try:
        export_image(project, shelf, image, wish.format, written, deidentify=wish.deidentify)
    except MedprismError as error:
        # With a cause it is the disk's refusal, which the others would meet too.
        if isinstance(error, WriteError) and error.__cause__ is not None:
            raise
        entry["message"] = str(error)
        return entry
    if written.is_dir():
        for one in sorted(written.iterdir()):
            _put(archive, f"masks/{name}/{one.name}", one)
        shutil.rmtree(written)
    else:
        _put(archive, f"masks/{name}", written)
        written.unlink()
    entry["mask"] = f"masks/{name}"
    return entry


def _add_log(
    project: Project, image: ImageRecord, archive: zipfile.ZipFile, entry: dict[str, Any]
) -> None:
    if project.works.of(image.id) is None:
        return
    name = f"logs/{Path(mask_file_name(image, 'coco')).name}"
    _put(archive, name, project.works.target(image.id))
    entry["log"] = name


def _put(archive: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    """Add a file without its time, which would say when somebody was examined.

    ZIP cannot hold times before 1980 anyway, where the clock of a machine may stand.
    """
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    if isinstance(content, bytes):
        archive.writestr(entry, content)
        return
    entry.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)
