"""Routes about images: lists, slices, accepted masks, exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, File, Query, Response

from medprism.apps.identity import open_deidentifier
from medprism.apps.workbench.open_session import runs_of
from medprism.apps.workbench.pictures import raw_png, slice_png, thumbnail_png
from medprism.apps.workbench.routes.given import Bench, FilePart, Number, upload_of
from medprism.apps.workbench.views import (
    show_acceptance,
    show_image,
    show_images,
    show_window,
)
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConfigError, ConflictError
from medprism.core.image import Image
from medprism.core.prompt import Mask2d
from medprism.inference.placement import place_slice
from medprism.project.export import export_image, mask_file_name
from medprism.project.images import STATES, UNFINISHED
from medprism.project.uploads import add_uploads

router = APIRouter(prefix="/api", tags=["images"])

Bound = Annotated[float | None, Query(allow_inf_nan=False, description="Intensity.")]


@router.get("/images", summary="List images")
def list_images(
    bench: Bench,
    state: Annotated[list[str] | None, Query(description="Only these states.")] = None,
    query: Annotated[str, Query(max_length=200, description="A part of the name.")] = "",
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Return images in the order they were added, and how many there are."""
    states = [one for one in state or [] if one]
    wrong = [one for one in states if one not in STATES]
    if wrong:
        raise ConfigError(f"state {wrong[0][:40]!r} is none; choose among {', '.join(STATES)}")
    images = bench.project.images
    found = images.find(states=states, query=query, offset=offset, limit=limit)
    return {
        "images": show_images(bench, found),
        "total": images.count(states=states, query=query),
    }


@router.post("/images", status_code=201, summary="Add images")
def add_images(
    bench: Bench, files: Annotated[list[FilePart], File(description="Image files.")]
) -> dict[str, Any]:
    """Add uploaded images; DICOM files are grouped into series."""
    uploads = [upload_of(one) for one in files]
    report = add_uploads(bench.project, uploads, bench.settings.upload_bytes)
    return {
        "added": show_images(bench, report.added),
        "refused": [{"name": name, "message": why} for name, why in report.refused],
    }


@router.post("/images/scan", summary="Look for new files in the folder")
def scan(bench: Bench) -> dict[str, Any]:
    """Add images that are new in the project's folder."""
    return {"added": show_images(bench, bench.project.scan())}


@router.get("/images/next", summary="Which image to go on with")
def next_image(
    bench: Bench,
    after: Annotated[
        int | None, Query(ge=0, le=2**53, description="The image that was worked on.")
    ] = None,
    order: Annotated[Literal["list", "uncertain"] | None, Query()] = None,
) -> dict[str, Any]:
    """Return an unfinished image that nobody works on, null if all is done."""
    chosen = order or bench.project.preferences.read().order
    found = bench.sessions.next_image(after=after, order=chosen)
    return {"image": None if found is None else show_image(bench, found)}


@router.get("/suggestions", summary="Least certain images first")
def suggest(bench: Bench, limit: Annotated[int, Query(ge=1, le=1000)] = 10) -> dict[str, Any]:
    """Return pre-segmented images that are not finished and that nobody works on."""
    taken = {one.image for one in bench.project.leases.all()}
    found = [
        one
        for one in bench.project.images.find(states=UNFINISHED)
        if one.uncertainty is not None and one.id not in taken
    ]
    found.sort(key=lambda one: (-(one.uncertainty or 0.0), one.id))
    return {"images": show_images(bench, found[:limit])}


@router.get("/images/{image}", summary="One image")
def get_image(bench: Bench, image: Number) -> dict[str, Any]:
    """Return an image with its window; it is read if it was not yet."""
    content = bench.desk.shelf.get(image)
    shown = show_image(bench, bench.project.images.get(image))
    return {**shown, "window": show_window(bench.windows.of(content))}


@router.delete("/images/{image}", status_code=204, summary="Take an image off the list")
def remove_image(bench: Bench, image: Number) -> Response:
    """Take an image off the list; its file and accepted masks stay on the disk."""
    lease = bench.project.leases.of(image)
    if lease is not None:
        raise ConflictError(f"{lease.author} works on this image; wait until they finish")
    bench.project.images.remove(image)
    bench.desk.shelf.forget(image)
    return Response(status_code=204)


@router.get("/images/{image}/thumbnail.png", response_class=Response, summary="A small picture")
def thumbnail(
    bench: Bench, image: Number, size: Annotated[int, Query(ge=16, le=512)] = 96
) -> Response:
    """Return the middle slice, or the one with most of the accepted masks, outlined."""
    content = bench.desk.shelf.get(image)
    at, mask = _telling_slice(bench, image, content)
    window = bench.windows.of(content)
    return _png(thumbnail_png(content, window, at, size, mask))


@router.get(
    "/images/{image}/slices/{index}.png", response_class=Response, summary="A slice as picture"
)
def get_slice(
    bench: Bench,
    image: Number,
    index: int,
    low: Bound = None,
    high: Bound = None,
    raw: Annotated[bool, Query(description="16 bit grey instead.")] = False,
) -> Response:
    """Return a slice between two intensities, or its values in 16 bit."""
    content = bench.desk.shelf.get(image)
    if raw:
        picture, scale, offset = raw_png(content, index)
        return _png(picture, {"X-Scale": repr(scale), "X-Offset": repr(offset)})
    window = bench.windows.of(content)
    darkest = window.low if low is None else low
    brightest = window.high if high is None else high
    if darkest > brightest:
        raise ConfigError(f"low {darkest:g} is above high {brightest:g}; swap them")
    return _png(slice_png(content, index, darkest, brightest))


@router.get("/images/{image}/accepted", summary="What was accepted, by whom and when")
def get_accepted(
    bench: Bench, image: Number, slice: Annotated[int | None, Query(ge=0)] = None
) -> dict[str, Any]:
    """Return current and former accepted masks; with `slice` also their runs on it."""
    bench.project.images.get(image)
    found = bench.project.masks.of(image, with_former=True)
    if slice is None:
        return {"accepted": [show_acceptance(one) for one in found]}
    content = bench.desk.shelf.get(image)
    at = place_slice(content, slice)
    shown = []
    for one in found:
        plane = content.to_stack(bench.project.masks.read(one, content))[at]
        shown.append(show_acceptance(one, runs_of(plane)))
    return {"accepted": shown}


@router.get("/images/{image}/log", summary="The prompt log")
def get_log(bench: Bench, image: Number) -> dict[str, Any]:
    """Return every event of the saved log and the one the image stands at."""
    bench.project.images.get(image)
    for opened in bench.sessions.list():
        if opened.image == image:
            bench.sessions.save(opened)
    if bench.project.works.of(image) is None:
        return {"image": image, "pointer": None, "events": []}
    document = json.loads(bench.project.works.target(image).read_text(encoding="utf-8"))
    return {"image": image, "pointer": document["pointer"], "events": document["events"]}


@router.get("/images/{image}/export", response_class=Response, summary="Masks as one file")
def export(
    bench: Bench,
    image: Number,
    format: Annotated[str, Query(max_length=40, examples=["nifti", "dicom-seg"])] = "nifti",
    deidentify: Annotated[bool, Query(description="Do not say who the image is of.")] = False,
) -> Response:
    """Return the accepted masks of an image in a format of docs/cli.md, a folder as ZIP."""
    record = bench.project.images.get(image)
    name = mask_file_name(record, format, is_named=not deidentify)
    hidden = open_deidentifier() if deidentify else None
    with TemporaryDirectory(dir=bench.project.exports, prefix=".one-") as folder:
        target = Path(folder) / name
        export_image(bench.project, bench.desk.shelf, record, format, target, deidentify=hidden)
        if target.is_dir():
            target = Path(shutil.make_archive(str(target), "zip", target))
        content = target.read_bytes()
    return attachment(content, target.name)


def attachment(content: bytes, name: str, media_type: str = "application/octet-stream") -> Response:
    """Return a file to be saved under a name."""
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}"}
    return Response(content, media_type=media_type, headers=headers)


def _telling_slice(bench: Workbench, image: int, content: Image) -> tuple[int, Mask2d | None]:
    """Return the slice with most of the accepted masks, with their union there."""
    masks = bench.project.masks
    found = [one for one in masks.of(image) if one.pixels]
    if not found:
        return content.num_slices // 2, None
    stack = content.to_stack(masks.read(found[0], content)).copy()
    for one in found[1:]:
        stack |= content.to_stack(masks.read(one, content))
    at = int(stack.sum((1, 2)).argmax())
    return at, stack[at]


def _png(content: bytes, headers: dict[str, str] | None = None) -> Response:
    shown = {"Cache-Control": "private, no-cache", **(headers or {})}
    return Response(content, media_type="image/png", headers=shown)
