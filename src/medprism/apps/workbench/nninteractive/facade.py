"""The verbs of nnInteractive's remote session."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body, Depends, FastAPI, Header, Request, Response
from pydantic import BaseModel, Field

from medprism.apps.workbench.failure import BadRequestError
from medprism.apps.workbench.nninteractive.packing import pack, unpack
from medprism.apps.workbench.nninteractive.registry import Registry
from medprism.apps.workbench.nninteractive.remote_session import Change, RemoteSession
from medprism.apps.workbench.nninteractive.verbs import LEASE, META, OCTETS
from medprism.apps.workbench.routes.given import Bench
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import PromptError

_Lease = Annotated[str | None, Header(alias=LEASE, max_length=100)]
_Meta = Annotated[str | None, Header(alias=META, max_length=100_000)]
_Octets = Annotated[bytes, Body(media_type=OCTETS)]


router = APIRouter(tags=["nninteractive"])


def _registry(request: Request) -> Registry:
    found = request.app.state.nninteractive
    assert isinstance(found, Registry)
    return found


Leases: TypeAlias = Annotated[Registry, Depends(_registry)]


def _remote(registry: Leases, lease: _Lease = None) -> RemoteSession:
    return registry.use(lease)


Remote: TypeAlias = Annotated[RemoteSession, Depends(_remote)]


class TargetBuffer(BaseModel):
    """The buffer that the client keeps."""

    shape: list[int] = Field(min_length=3, max_length=3)
    dtype: str


class Zoom(BaseModel):
    """Whether to look closer at small structures."""

    do_autozoom: bool


class Point(BaseModel):
    """A click."""

    coordinates: list[float] = Field(min_length=3, max_length=3)
    include_interaction: bool
    run_prediction: bool = True


class Box(BaseModel):
    """A box, half open."""

    bbox_coords: list[list[int]] = Field(min_length=3, max_length=3)
    include_interaction: bool
    run_prediction: bool = True


def install(app: FastAPI, bench: Workbench) -> Registry:
    """Add the verbs to an app; each lease is a session of its own on the server's model."""
    registry = Registry(
        lambda: RemoteSession(bench.model, bench.desk.memory), bench.settings.max_sessions
    )
    bench.sweeps.append(registry.sweep)
    app.state.nninteractive = registry
    app.include_router(router)
    return registry


def describe_capabilities(bench: Workbench) -> dict[str, Any]:
    """Return what the client mirrors of its local session."""
    takes_clicks = bench.model.segmenter.accepts.clicks
    kinds = ("scribble", "lasso", "points", "bbox2d")
    return {
        "supported_interactions": {
            **dict.fromkeys(kinds, takes_clicks),
            "bbox3d": False,
        },
        "channel_mapping": {
            "prev_seg": 0,
            "bbox2d": [1, 2],
            "bbox3d": [1, 2],
            "lasso": [1, 2],
            "points": [3, 4],
            "scribble": [5, 6],
        },
        "num_interaction_channels": 7,
        "supports_initial_label": True,
        "supports_zero_shot_label_refinement": True,
        "preferred_scribble_thickness": [2, 2, 2],
        "interaction_decay": 1.0,
        "patch_size": None,
        "do_autozoom": True,
        "inference_session_version": 2,
        "license": str(bench.model.card.get("licence") or "see `medprism models`"),
        "supports_undo": True,
    }


@router.get("/healthz", summary="Is the server there?")
def healthz() -> dict[str, bool]:
    """Return that the server runs."""
    return {"ok": True}


@router.get("/capabilities", summary="What the model takes")
def capabilities(bench: Bench) -> dict[str, Any]:
    """Return interactions, channels, licence and version."""
    return describe_capabilities(bench)


@router.post("/claim", summary="Take a session")
def claim(registry: Leases) -> dict[str, Any]:
    """Return the token of a new session and its timeouts."""
    return {
        "lease_token": registry.claim(),
        "idle_timeout_seconds": registry.idle,
        "liveness_timeout_seconds": registry.liveness,
        "max_sessions": registry.most,
    }


@router.post("/release", summary="End a session")
def release(registry: Leases, lease: _Lease = None) -> dict[str, bool]:
    """End the session; one that has ended is no error."""
    registry.release(lease)
    return {"released": True}


@router.post("/heartbeat", summary="A sign of life")
def heartbeat(registry: Leases, lease: _Lease = None) -> dict[str, float]:
    """Return the seconds until the session counts as idle."""
    return {"remaining_seconds": registry.beat(lease)}


@router.get("/lease_status", summary="How long a session lasts")
def lease_status(registry: Leases, lease: _Lease = None) -> dict[str, float]:
    """Return the same without giving a sign of life."""
    return {
        "remaining_seconds": registry.remaining(lease),
        "idle_timeout_seconds": registry.idle,
    }


def _change(
    remote: RemoteSession, bench: Workbench, act: Callable[[RemoteSession], Change]
) -> Response:
    with bench.turns.for_a_person(), remote.lock:
        return _answer(act(remote))


@router.post("/set_image", summary="Open an array")
def set_image(bench: Bench, remote: Remote, body: _Octets, meta: _Meta = None) -> dict[str, Any]:
    """Open an array (C, X, Y, Z)."""
    properties = _read_meta(meta).get("image_properties") or {}
    if not isinstance(properties, dict):
        raise BadRequestError("image_properties is no object; leave it out or send one")
    with remote.lock:
        shape = remote.set_image(unpack(body, bench.settings.upload_bytes), properties)
    return {"original_image_shape": list(shape)}


@router.post("/set_target_buffer", summary="The client's buffer")
def set_target_buffer(remote: Remote, body: TargetBuffer) -> dict[str, Any]:
    """Note shape and type of the buffer."""
    with remote.lock:
        remote.set_target_buffer(body.shape, body.dtype)
    return {}


@router.post("/set_do_autozoom", summary="Look closer at small structures")
def set_do_autozoom(remote: Remote, body: Zoom) -> dict[str, Any]:
    """Note the wish for the next image."""
    remote.wants_zoom = body.do_autozoom
    return {}


@router.post("/reset_interactions", summary="Forget everything")
def reset_interactions(remote: Remote) -> dict[str, Any]:
    """Forget all interactions."""
    with remote.lock:
        remote.reset()
    return {}


@router.post("/undo", response_class=Response, summary="One step back")
def undo(bench: Bench, remote: Remote) -> Response:
    """Take the last interaction back."""
    return _change(remote, bench, RemoteSession.undo)


@router.post("/predict", response_class=Response, summary="Predict now")
def predict(bench: Bench, remote: Remote) -> Response:
    """Predict with what was added without a prediction."""
    return _change(remote, bench, RemoteSession.predict)


@router.post("/add_point_interaction", response_class=Response, summary="A click")
def add_point(bench: Bench, remote: Remote, body: Point) -> Response:
    """Click at (x, y, z)."""
    return _change(
        remote,
        bench,
        lambda one: one.add_point(
            body.coordinates, include=body.include_interaction, runs=body.run_prediction
        ),
    )


@router.post("/add_bbox_interaction", response_class=Response, summary="A box")
def add_bbox(bench: Bench, remote: Remote, body: Box) -> Response:
    """Draw a box on one slice."""
    return _change(
        remote,
        bench,
        lambda one: one.add_box(
            body.bbox_coords, include=body.include_interaction, runs=body.run_prediction
        ),
    )


def _draw(
    bench: Workbench, remote: RemoteSession, kind: str, body: bytes, meta: str | None
) -> Response:
    said = _read_meta(meta)
    include, runs = said.get("include_interaction"), said.get("run_prediction", True)
    if not isinstance(include, bool) or not isinstance(runs, bool):
        raise PromptError("include_interaction and run_prediction must be true or false")
    box = _read_ranges(said.get("interaction_bbox"))
    drawn = unpack(body, bench.settings.upload_bytes)
    return _change(
        remote,
        bench,
        lambda one: one.add_drawing(kind, drawn, box, include=include, runs=runs),
    )


@router.post("/add_scribble_interaction", response_class=Response, summary="A scribble")
def add_scribble(bench: Bench, remote: Remote, body: _Octets, meta: _Meta = None) -> Response:
    """Draw a stroke."""
    return _draw(bench, remote, "scribble", body, meta)


@router.post("/add_lasso_interaction", response_class=Response, summary="An outline")
def add_lasso(bench: Bench, remote: Remote, body: _Octets, meta: _Meta = None) -> Response:
    """Draw a closed outline, filled."""
    return _draw(bench, remote, "lasso", body, meta)


@router.post("/add_initial_seg_interaction", response_class=Response, summary="A mask")
def add_initial(bench: Bench, remote: Remote, body: _Octets, meta: _Meta = None) -> Response:
    """Start from a mask."""
    runs = _read_meta(meta).get("run_prediction", False) is True
    mask = unpack(body, bench.settings.upload_bytes)
    return _change(remote, bench, lambda one: one.add_initial(mask, runs=runs))


def _answer(change: Change) -> Response:
    told: dict[str, Any] = {"ran_prediction": change.is_done, "bbox": change.ranges}
    content = b""
    if change.content is not None:
        told["dtype"] = str(change.content.dtype)
        told["shape"] = list(change.content.shape)
        content = pack(change.content)
    headers = {META: json.dumps(told, separators=(",", ":"))}
    return Response(content, media_type=OCTETS, headers=headers)


def _read_meta(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise BadRequestError(f"{META} is no JSON document") from error
    if not isinstance(found, dict):
        raise BadRequestError(f"{META} is no JSON object")
    return found


def _read_ranges(given: object) -> list[list[int]] | None:
    if given is None:
        return None
    is_ranges = isinstance(given, list) and all(
        isinstance(one, list) and all(type(number) is int for number in one) for one in given
    )
    if not isinstance(given, list) or not is_ranges:
        raise PromptError("interaction_bbox must be [[x1, x2], [y1, y2], [z1, z2]], whole numbers")
    return given
