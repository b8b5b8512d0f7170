"""MONAI Label's REST interface over a project, for its clients in 3D Slicer and OHIF."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import (
    APIRouter,
    Body,
    Depends,
    FastAPI,
    File,
    Form,
    Query,
    Request,
    Response,
)

from medprism import __version__
from medprism.apps.workbench.access import is_token
from medprism.apps.workbench.failure import Failure, respond
from medprism.apps.workbench.monai_label import datastore, store_routes, training_routes
from medprism.apps.workbench.monai_label.inference import Inferred, describe_models, infer
from medprism.apps.workbench.monai_label.multipart import encode
from medprism.apps.workbench.monai_label.store_routes import Named, Params, read_params
from medprism.apps.workbench.monai_label.upload_sessions import UploadSession, UploadSessions
from medprism.apps.workbench.routes.given import Author, Bench, FilePart, upload_of
from medprism.apps.workbench.routes.images import attachment
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import PromptError, UnknownEntryError, WriteError
from medprism.core.image import Image
from medprism.core.randomness import counter_rng
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from medprism.project.images import UNFINISHED, ImageRecord
from medprism.project.uploads import Upload

STRATEGIES: Final = {
    "uncertain": "the pre-segmented image that the model is least certain of",
    "first": "the first image of the list that is not finished",
    "random": "any image that is not finished",
}


def _uploads(request: Request) -> UploadSessions:
    found = request.app.state.uploads
    assert isinstance(found, UploadSessions)
    return found


Uploads: TypeAlias = Annotated[UploadSessions, Depends(_uploads)]


def install(app: FastAPI, bench: Workbench) -> None:
    """Add the routes to an app."""
    uploads = UploadSessions()
    app.state.uploads = uploads
    bench.sweeps.append(uploads.sweep)
    bench.endings.append(uploads.clear)
    app.include_router(_about)
    app.include_router(store_routes.router)
    app.include_router(training_routes.router)


_about = APIRouter(tags=["monai label"])


@_about.get("/auth/", summary="Is a token needed?")
def auth_enabled(bench: Bench) -> dict[str, Any]:
    """Return whether clients must sign in."""
    return {"enabled": bench.settings.token is not None}


@_about.post("/auth/token", summary="Sign in")
def auth_token(
    bench: Bench,
    username: Annotated[str, Form(max_length=100)],
    password: Annotated[str, Form(max_length=500)],
) -> Response:
    """Take the server's token as password and give it back as the client wants it."""
    if not is_token(password, bench.settings.token):
        return respond("/auth/token", Failure(401, "wrong_token", "the password is the token"))
    document = {"access_token": password, "token_type": "bearer"}
    return Response(json.dumps(document), media_type="application/json")


@_about.get("/auth/token/valid", summary="Is the token right?")
def auth_valid(author: Author) -> dict[str, Any]:
    """Return who is signed in."""
    return {"username": author}


@_about.get("/info/", summary="Models, labels, strategies, counts")
def info(bench: Bench) -> dict[str, Any]:
    """Return what a client shows when it connects."""
    known = [one.name for one in bench.project.labels.all()]
    return {
        "name": "medprism",
        "description": "Segmentation by class, by references and by clicks; for research use",
        "version": __version__,
        "labels": known or list(bench.model.concepts.names),
        "models": describe_models(bench),
        "trainers": training_routes.describe_trainers(bench),
        "strategies": {name: {"description": text} for name, text in STRATEGIES.items()},
        "scoring": {},
        "train_stats": {},
        "datastore": datastore.statistics(bench),
        "config": {},
    }


@_about.post("/activelearning/{strategy}", summary="The next image")
def next_sample(
    bench: Bench, strategy: str, params: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, Any]:
    """Return the image to annotate next; an empty object if all is done."""
    if strategy not in STRATEGIES:
        raise UnknownEntryError(
            f"there is no strategy {strategy[:40]!r}; choose {', '.join(STRATEGIES)}"
        )
    found = _sample(bench, strategy)
    if found is None:
        return {}
    return {"id": found.name, **datastore.image_info(bench, found)}


@_about.post("/infer/{model}", response_class=Response, summary="Segment an image")
def run_inference(
    bench: Bench,
    uploads: Uploads,
    model: str,
    image: Named = "",
    session_id: Annotated[str, Query(max_length=100)] = "",
    output: Literal["image", "json", "all", "dicom_seg"] = "all",
    params: Params = "{}",
    file: Annotated[FilePart, File()] = None,
    label: Annotated[FilePart, File()] = None,
) -> Response:
    """Segment an image of the project, of an upload, or of this request."""
    said = read_params(params)
    sent = None if file is None else upload_of(file)
    content, number = _image_of(bench, uploads, image, session_id, sent)
    drawn = None if label is None else upload_of(label)
    start = None if drawn is None else (drawn.name or "label.nii.gz", drawn.content.read())
    found = infer(bench, model, content, number, said, start)
    return _answer(found, output, content)


@_about.put("/session/", summary="Upload an image for inference alone")
def put_session(
    uploads: Uploads,
    files: Annotated[list[FilePart], File()],
    expiry: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Keep uploaded files for an hour at most."""
    found = uploads.add([upload_of(one) for one in files], expiry)
    return {"session_id": found.id, "session_info": _told(found)}


@_about.get("/session/{session_id}", summary="An upload")
def get_session(uploads: Uploads, session_id: str) -> dict[str, Any]:
    """Return what an upload holds."""
    return _told(uploads.get(session_id))


@_about.delete("/session/{session_id}", summary="Forget an upload")
def delete_session(uploads: Uploads, session_id: str) -> dict[str, Any]:
    """Forget an upload."""
    return _told(uploads.remove(session_id))


def _image_of(
    bench: Workbench,
    uploads: UploadSessions,
    name: str,
    session: str,
    file: Upload | None,
) -> tuple[Image, int | None]:
    if session:
        return read_image(uploads.get(session).path), None
    if file is not None:
        with TemporaryDirectory(prefix="medprism-") as folder:
            path = Path(folder) / "image"
            path.write_bytes(file.content.read())
            return read_image(path).replace(source=None), None
    if not name:
        raise PromptError("name an image of the project, an upload (session_id), or send a file")
    record = bench.project.images.named(name)
    return bench.desk.shelf.get(record.id), record.id


def _answer(found: Inferred, output: str, image: Image) -> Response:
    if output == "json":
        return Response(json.dumps(found.params), media_type="application/json")
    if output == "image":
        return attachment(found.content, found.name)
    if output == "dicom_seg":
        with TemporaryDirectory(prefix="medprism-") as folder:
            source, target = Path(folder) / found.name, Path(folder) / "label.dcm"
            source.write_bytes(found.content)
            labels = read_mask(source, like=image).to_labels()
            if not len(labels):
                raise WriteError("nothing was found, and a DICOM-SEG needs a segment")
            write_mask(target, labels, image, format="dicom-seg")
            return Response(target.read_bytes(), media_type="application/dicom")
    body, kind = encode(found.params, found.name, found.content)
    return Response(body, media_type=kind)


def _sample(bench: Workbench, strategy: str) -> ImageRecord | None:
    if strategy == "uncertain":
        return bench.sessions.next_image(after=None, order="uncertain")
    if strategy == "first":
        return bench.sessions.next_image(after=None, order="list")
    taken = {one.image for one in bench.project.leases.all()}
    free = [one for one in bench.project.images.find(states=UNFINISHED) if one.id not in taken]
    if not free:
        return None
    # Another image each time something was finished, the same one if asked twice.
    draw = counter_rng(len(free), bench.project.name, "sample")
    return free[int(draw.integers(len(free)))]


def _told(session: UploadSession) -> dict[str, Any]:
    return {
        "name": session.name,
        "create_ts": int(session.created),
        "expiry": int(session.expires - session.created),
    }
