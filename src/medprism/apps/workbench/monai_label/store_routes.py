"""Routes of MONAI Label's datastore."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Response

from medprism.apps.workbench.failure import BadRequestError, NotThereYetError
from medprism.apps.workbench.monai_label import datastore
from medprism.apps.workbench.routes.given import Author, Bench, FilePart, upload_of
from medprism.apps.workbench.routes.images import attachment
from medprism.core.errors import ConfigError
from medprism.project.uploads import Upload, add_uploads

Params = Annotated[str, Form(max_length=1_000_000, description="JSON.")]
Named = Annotated[str, Query(max_length=500, description="Name of an image.")]
Tag = Annotated[str, Query(max_length=100)]

router = APIRouter(prefix="/datastore", tags=["monai label"])


def read_params(text: str) -> dict[str, Any]:
    """Return the JSON object of a form field.

    Raises:
        BadRequestError: it is none.

    >>> read_params('{"label": "liver"}')
    {'label': 'liver'}
    """
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise BadRequestError("params is no JSON document") from error
    if not isinstance(found, dict):
        raise BadRequestError("params is no JSON object")
    return found


@router.get("/", summary="What is in the project")
def get_datastore(
    bench: Bench, output: Literal["stats", "all", "train"] = "stats"
) -> dict[str, Any] | list[dict[str, str]]:
    """Return counts, everything, or the pairs for a training."""
    if output == "all":
        return datastore.everything(bench)
    return datastore.training_list(bench) if output == "train" else datastore.statistics(bench)


@router.put("/", summary="Add an image")
@router.put("/image", summary="Add an image")
def put_image(
    bench: Bench,
    file: Annotated[FilePart, File()],
    image: Named = "",
    params: Params = "{}",
) -> dict[str, Any]:
    """Add an uploaded image; its id is its name."""
    sent = upload_of(file)
    given = Path(sent.name or "image").name
    suffix = "".join(Path(given).suffixes[-2:])
    name = given if not image or image.endswith(suffix) else f"{image}{suffix}"
    report = add_uploads(bench.project, [Upload(name, sent.content)], bench.settings.upload_bytes)
    if not report.added:
        raise ConfigError(f"the image was refused: {report.refused[0][1]}")
    return {"image": report.added[0].name}


@router.delete("/", summary="Take an image off the list")
@router.delete("/image", summary="Take an image off the list")
def delete_image(bench: Bench, id: Named) -> dict[str, Any]:
    """Take an image off the list; files and accepted masks stay on the disk."""
    bench.project.images.remove(bench.project.images.named(id).id)
    return {}


@router.head("/image", summary="Is there such an image?")
def has_image(bench: Bench, image: Named) -> Response:
    """Answer 200 or 404."""
    bench.project.images.named(image)
    return Response()


@router.get("/image", response_class=Response, summary="The file of an image")
def get_image(bench: Bench, image: Named) -> Response:
    """Return the file; the files of a DICOM series as ZIP."""
    content, name = datastore.image_content(bench, bench.project.images.named(image))
    return attachment(content, name)


@router.get("/image/info", summary="What is known about an image")
def get_image_info(bench: Bench, image: Named) -> dict[str, Any]:
    """Return state, modality, shape and uncertainty."""
    return datastore.image_info(bench, bench.project.images.named(image))


@router.put("/label", summary="Accept the labels of a file")
def put_label(
    bench: Bench,
    author: Author,
    image: Named,
    label: Annotated[FilePart, File()],
    params: Params = "{}",
    tag: Tag = datastore.FINAL,
) -> dict[str, Any]:
    """Accept one mask for each number of a label map."""
    sent = upload_of(label)
    content = sent.name, sent.content.read()
    said = read_params(params)
    who = said.get("client_id")
    author = who if isinstance(who, str) and who.strip() else author
    return datastore.save_label(bench, image, tag, content, said, author)


@router.head("/label", summary="Is there an accepted mask?")
def has_label(bench: Bench, label: Named = "", image: Named = "", tag: Tag = "") -> Response:
    """Answer 200 or 404."""
    datastore.label_info(bench, label or image, tag)
    return Response()


@router.get("/label", response_class=Response, summary="Accepted masks as label map")
def get_label(bench: Bench, label: Named, tag: Tag = "") -> Response:
    """Return a NIfTI file."""
    content, name = datastore.label_content(bench, label, tag)
    return attachment(content, name)


@router.get("/label/info", summary="Who accepted what and when")
def get_label_info(bench: Bench, label: Named, tag: Tag = "") -> dict[str, Any]:
    """Return the accepted masks of an image."""
    return datastore.label_info(bench, label, tag)


@router.delete("/label", summary="Accepted masks are kept")
def delete_label(id: Named, tag: Tag = "") -> dict[str, Any]:
    """Say that nothing accepted is thrown away."""
    raise NotThereYetError(
        "accepted masks are never thrown away; submit another one in their place"
    )


@router.get("/dataset", response_class=Response, summary="Images and masks as ZIP")
def get_dataset(bench: Bench) -> Response:
    """Return all images with their label maps."""
    with TemporaryDirectory(dir=bench.project.exports, prefix=".dataset-") as folder:
        target = Path(folder) / "dataset.zip"
        datastore.dataset_archive(bench, target)
        content = target.read_bytes()
    return attachment(content, "dataset.zip", "application/zip")
