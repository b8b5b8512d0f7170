"""Routes about references."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Response

from medprism.apps.workbench.pictures import thumbnail_png
from medprism.apps.workbench.routes.given import Author, Bench, FilePart, Number, upload_of
from medprism.apps.workbench.schemas import NewReference, ReferenceChange
from medprism.apps.workbench.views import show_example
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import LabelError, ReferencePairError
from medprism.inference.reference_input import to_reference
from medprism.project.confinement import safe_name
from medprism.project.labels import LabelRecord
from medprism.project.masks import Accepting
from medprism.project.uploads import add_uploads

router = APIRouter(prefix="/api/references", tags=["references"])


@router.get("", summary="List references")
def list_references(
    bench: Bench, label: Annotated[str | None, Query(max_length=100)] = None
) -> dict[str, Any]:
    """Return the references of a label, or all, with their scores."""
    number = None if label is None else _label(bench, label).id
    return {"references": [show_example(one) for one in bench.project.examples.find(number)]}


@router.post("", status_code=201, summary="Make an accepted mask a reference")
def add_reference(bench: Bench, author: Author, body: NewReference) -> dict[str, Any]:
    """Make the accepted mask of a label on an image a reference."""
    bench.project.images.get(body.image)
    found = bench.project.examples.add(body.image, _label(bench, body.label).id, author)
    bench.sessions.note_knowledge()
    return show_example(found)


@router.post("/upload", status_code=201, summary="Add a finished pair from elsewhere")
def upload_reference(
    bench: Bench,
    author: Author,
    image: Annotated[FilePart, File(description="The image.")],
    mask: Annotated[FilePart, File(description="Its mask, on the same grid.")],
    label: Annotated[str, Form(max_length=100)],
) -> dict[str, Any]:
    """Add an image with its finished mask; both become part of the project."""
    wanted = bench.label(label)
    drawn = upload_of(mask)
    report = add_uploads(bench.project, [upload_of(image)], bench.settings.upload_bytes)
    if len(report.added) != 1:
        reason = report.refused[0][1] if report.refused else "it holds no image"
        raise ReferencePairError(f"the image cannot be used: {reason}")
    number = report.added[0].id
    try:
        content = bench.desk.shelf.get(number)
        with TemporaryDirectory(dir=bench.project.uploads, prefix=".mask-") as folder:
            path = Path(folder) / safe_name(drawn.name or "mask")
            path.write_bytes(drawn.content.read())
            pair = to_reference(content, path, wanted.name, author)
    except BaseException:
        bench.project.images.remove(number)
        raise
    entry = Accepting(wanted, pair.mask())
    bench.project.masks.accept(number, content, [entry], author, example_origin="uploaded")
    bench.sessions.note_knowledge()
    (found,) = [one for one in bench.project.examples.find(wanted.id) if one.image == number]
    return show_example(found)


@router.patch("/{reference}", summary="Use a reference, or leave it out")
def change_reference(bench: Bench, reference: Number, body: ReferenceChange) -> dict[str, Any]:
    """Switch a reference on or off."""
    found = bench.project.examples.set_active(reference, is_active=body.is_active)
    bench.sessions.note_knowledge()
    return show_example(found)


@router.delete("/{reference}", status_code=204, summary="Let a mask be no reference any more")
def remove_reference(bench: Bench, reference: Number) -> Response:
    """Remove a reference; the mask stays accepted."""
    bench.project.examples.remove(reference)
    bench.sessions.note_knowledge()
    return Response(status_code=204)


@router.get("/{reference}/thumbnail.png", response_class=Response, summary="A small picture")
def thumbnail(
    bench: Bench, reference: Number, size: Annotated[int, Query(ge=16, le=512)] = 96
) -> Response:
    """Return the slice with most of the reference, outlined."""
    found = bench.project.examples.get(reference)
    content = bench.desk.shelf.get(found.image)
    masks = bench.project.masks
    stack = content.to_stack(masks.read(masks.get(found.acceptance), content))
    at = int(stack.sum((1, 2)).argmax())
    window = bench.windows.of(content)
    picture = thumbnail_png(content, window, at, size, stack[at])
    return Response(picture, media_type="image/png", headers={"Cache-Control": "no-cache"})


def _label(bench: Workbench, name: str) -> LabelRecord:
    known = bench.project.labels.named(bench.class_name(name) or name)
    known = known or bench.project.labels.named(name)
    if known is None:
        listed = ", ".join(one.name for one in bench.project.labels.all()) or "none"
        raise LabelError(f"there is no label {name!r} in the project; it has {listed}")
    return known
