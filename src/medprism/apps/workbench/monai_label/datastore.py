"""The project as MONAI Label's datastore: images by name, accepted masks as final labels."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from medprism.apps.workbench.failure import NotThereYetError
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConflictError, LabelError, UnknownEntryError
from medprism.io.mask_file import MaskFile
from medprism.io.reader import read_mask
from medprism.project.confinement import safe_name
from medprism.project.export import export_image
from medprism.project.images import ImageRecord
from medprism.project.masks import Acceptance, Accepting

FINAL: Final = "final"


def statistics(bench: Workbench) -> dict[str, Any]:
    """Return counts, as `/info/` and `/datastore/` tell them."""
    images = bench.project.images.find()
    done = [one for one in images if one.state == "accepted"]
    return {
        "total": len(images),
        "completed": len(done),
        "label_tags": {FINAL: len(bench.project.masks.labels_by_image())},
        "train": [],
    }


def everything(bench: Workbench) -> dict[str, Any]:
    """Return all images with what is known about them."""
    return {
        "name": bench.project.name,
        "description": "",
        "images_dir": ".",
        "labels_dir": "labels",
        "objects": {one.name: _entry(bench, one) for one in bench.project.images.find()},
    }


def training_list(bench: Workbench) -> list[dict[str, str]]:
    """Return the names of images with their label, for those that have one."""
    labelled = bench.project.masks.labels_by_image()
    return [
        {"image": one.name, "label": one.name}
        for one in bench.project.images.find()
        if one.id in labelled
    ]


def image_info(bench: Workbench, image: ImageRecord) -> dict[str, Any]:
    """Return what is known about an image."""
    return {
        "name": image.name,
        "state": image.state,
        "modality": image.modality,
        "shape": [image.slices, image.height, image.width],
        "uncertainty": image.uncertainty,
    }


def image_content(bench: Workbench, image: ImageRecord) -> tuple[bytes, str]:
    """Return the file of an image with its name; the files of a series as ZIP."""
    path = bench.project.images.path_of(image)
    if path.is_file():
        return path.read_bytes(), path.name
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for one in sorted(path.iterdir()):
            if one.is_file():
                archive.write(one, one.name)
    return stream.getvalue(), f"{safe_name(image.name)}.zip"


def label_content(bench: Workbench, name: str, tag: str) -> tuple[bytes, str]:
    """Return the accepted masks of an image as one label map.

    Raises:
        UnknownEntryError: no such image, nothing accepted, or another tag than "final".
    """
    image = _labelled(bench, name, tag)
    with TemporaryDirectory(prefix="medprism-") as folder:
        target = Path(folder) / "label.nii.gz"
        export_image(bench.project, bench.desk.shelf, image, "nifti", target)
        return target.read_bytes(), f"{safe_name(name)}.nii.gz"


def label_info(bench: Workbench, name: str, tag: str) -> dict[str, Any]:
    """Return who accepted what and when."""
    image = _labelled(bench, name, tag)
    return {"accepted": [_told(one) for one in bench.project.masks.of(image.id)]}


def save_label(
    bench: Workbench,
    name: str,
    tag: str,
    file: tuple[str, bytes],
    params: Mapping[str, Any],
    author: str,
) -> dict[str, Any]:
    """Accept the labels of a file, one mask a number; answered when they are on the disk.

    Raises:
        NotThereYetError: another tag than "final".
        ConflictError: somebody works on the image in the browser.
        LabelError: a number that nobody named.
    """
    if tag not in ("", FINAL):
        raise NotThereYetError(
            f"labels with the tag {tag[:40]!r} are not kept; submit it without a tag"
        )
    image = bench.project.images.named(name)
    lease = bench.project.leases.of(image.id)
    if lease is not None:
        raise ConflictError(f"{lease.author} works on this image; wait until they finish")
    like = bench.desk.shelf.get(image.id)
    with TemporaryDirectory(prefix="medprism-") as folder:
        path = Path(folder) / safe_name(file[0] or "label.nii.gz")
        path.write_bytes(file[1])
        mask = read_mask(path, like=like)
    named = _named(mask, params)
    entries = [Accepting(bench.label(one), plane) for one, plane in named.items()]
    origin = "accepted" if bench.model.segmenter.accepts.references else None
    found = bench.project.masks.accept(image.id, like, entries, author, example_origin=origin)
    # A log that was saved before shows other masks; the next session starts from these.
    if bench.project.works.of(image.id) is not None:
        bench.project.works.put_aside(image.id)
    bench.sessions.note_knowledge()
    return {"image": name, "label": name, "accepted": [_told(one) for one in found]}


def dataset_archive(bench: Workbench, target: Path) -> None:
    """Write images with their label maps into a ZIP."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        labelled = bench.project.masks.labels_by_image()
        for image in bench.project.images.find():
            content, name = image_content(bench, image)
            archive.writestr(f"images/{image.id:06d}-{name}", content)
            if image.id in labelled:
                label, label_name = label_content(bench, image.name, FINAL)
                archive.writestr(f"labels/{FINAL}/{image.id:06d}-{label_name}", label)


def _named(mask: MaskFile, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the planes of a file by label name: what the client says, else what the file says."""
    said: dict[int, str] = {}
    for at, one in enumerate(params.get("label_info") or [], start=1):
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            number = one.get("idx", at)
            said[number if isinstance(number, int) else at] = one["name"]
    planes: dict[str, Any] = {}
    names = {**mask.names, **said}
    for label, plane in MaskFile(
        mask.array, mask.geometry, names, mask.colours, mask.covered
    ).to_labels():
        planes[label] = plane
    if not planes:
        raise LabelError("the label map is empty; segment something, then submit it")
    return planes


def _labelled(bench: Workbench, name: str, tag: str) -> ImageRecord:
    image = bench.project.images.named(name)
    if tag not in ("", FINAL) or image.id not in bench.project.masks.labels_by_image():
        raise UnknownEntryError("no mask was accepted on this image under this tag")
    return image


def _entry(bench: Workbench, image: ImageRecord) -> dict[str, Any]:
    accepted = [one for one in bench.project.masks.of(image.id) if one.file is not None]
    labels = {}
    if accepted:
        labels[FINAL] = {"ext": ".nii.gz", "info": {"accepted": [_told(one) for one in accepted]}}
    return {
        "image": {"ext": Path(image.path).suffix, "info": image_info(bench, image)},
        "labels": labels,
    }


def _told(one: Acceptance) -> dict[str, Any]:
    return {"name": one.name, "author": one.author, "time": one.time, "pixels": one.pixels}
