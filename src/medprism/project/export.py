"""Accepted masks and prompt logs in other programs' formats, at any time."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from medprism.core.durable import write_durably
from medprism.core.errors import CancelledError, ConflictError, MedprismError, WriteError
from medprism.core.progress import Progress
from medprism.io.mask_export import Algorithm
from medprism.io.writer import FOLDER_FORMATS, MASK_FORMATS, MaskFormat, write_mask
from medprism.project.images import ImageRecord
from medprism.project.masks import as_labels
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf

FORMAT: Final = "medprism-export"
VERSION: Final = 1
EXPORT_FORMATS: Final[dict[str, MaskFormat]] = {**MASK_FORMATS, **FOLDER_FORMATS}


def mask_file_name(image: ImageRecord, format: str) -> str:
    """Return the name of an image's mask file in a format, unique in the project.

    Raises:
        WriteError: an unknown format.
    """
    if format not in EXPORT_FORMATS:
        raise WriteError(f"there is no format {format!r}; choose {', '.join(EXPORT_FORMATS)}")
    stem = image.name.replace("/", "_").replace("\\", "_")
    return f"{image.id:06d}-{stem}{EXPORT_FORMATS[format].suffixes[0]}"


def export_image(
    project: Project, shelf: ImageShelf, image: ImageRecord, format: str, target: Path
) -> None:
    """Write the accepted masks of one image, on the image's grid: a file, or a folder of slices.

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
    )


def export_all(
    project: Project,
    shelf: ImageShelf,
    format: str,
    target: Path,
    *,
    with_logs: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Write all accepted masks, and prompt logs if wanted, into one ZIP; return what is in it.

    `export.json` inside lists every image with who accepted what and when, and why an image is
    not there (a picture has no RTSTRUCT, ...).

    Raises:
        CancelledError: the progress asked to stop; there is no file.
        WriteError: the disk refuses.
    """
    accepted = project.masks.labels_by_image()
    images = [one for one in project.images.find() if one.id in accepted or with_logs]
    report: dict[str, Any] = {"format": FORMAT, "version": VERSION, "masks": format}
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
                entry = _add(project, shelf, image, format, Path(folder), archive)
                if with_logs:
                    _add_log(project, image, archive, entry)
                entries.append(entry)
            report["images"] = entries
            archive.writestr("export.json", json.dumps(report, indent=1))

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


def _add(
    project: Project,
    shelf: ImageShelf,
    image: ImageRecord,
    format: str,
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
    name = mask_file_name(image, format)
    try:
        export_image(project, shelf, image, format, folder / name)
    except MedprismError as error:
        entry["message"] = str(error)
        return entry
    if (folder / name).is_dir():
        for one in sorted((folder / name).iterdir()):
            archive.write(one, f"masks/{name}/{one.name}")
        shutil.rmtree(folder / name)
    else:
        archive.write(folder / name, f"masks/{name}")
        (folder / name).unlink()
    entry["mask"] = f"masks/{name}"
    return entry


def _add_log(
    project: Project, image: ImageRecord, archive: zipfile.ZipFile, entry: dict[str, Any]
) -> None:
    if project.works.of(image.id) is None:
        return
    name = f"logs/{Path(mask_file_name(image, 'coco')).name}"
    archive.write(project.works.target(image.id), name)
    entry["log"] = name
