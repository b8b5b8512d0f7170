"""Routes of a session's life: opened, kept, ended, gone on from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from medprism.apps.workbench.acceptance import (
    accept,
    go_on,
    open_for_work,
    prepare_next,
    skip,
)
from medprism.apps.workbench.open_session import OpenSession, describe_state
from medprism.apps.workbench.routes.given import Author, Bench, Opened
from medprism.apps.workbench.schemas import (
    AcceptBody,
    NextBody,
    OpenImage,
    PredictBody,
    PropagateBody,
    SkipBody,
)
from medprism.apps.workbench.views import show_acceptance, show_job
from medprism.apps.workbench.workbench import Workbench

router = APIRouter(prefix="/api/sessions", tags=["sessions"])


@router.get("", summary="Who works on what")
def list_sessions(bench: Bench) -> dict[str, Any]:
    """Return the leases that have not run out; the secret that names a session is not told."""
    leases = bench.project.leases
    return {
        "sessions": [
            {
                "image": one.image,
                "author": one.author,
                "since": datetime.fromtimestamp(one.since, UTC).isoformat(timespec="seconds"),
                "expires_in": round(leases.remaining(one)),
            }
            for one in leases.all()
        ]
    }


@router.post("", status_code=201, summary="Open an image")
def open_image(bench: Bench, author: Author, body: OpenImage) -> dict[str, Any]:
    """Open an image where the work on it stopped; the next one is made ready meanwhile."""
    if body.presegment:
        opened = open_for_work(
            bench,
            body.image,
            author,
            take_over=body.take_over,
            in_background=body.in_background,
        )
    else:
        opened = bench.sessions.open(body.image, author, take_over=body.take_over)
    prepare_next(bench, opened)
    return state_of(bench, opened)


@router.get("/{session}", summary="State of a session")
def get_state(bench: Bench, opened: Opened) -> dict[str, Any]:
    """Return the labels with all that a client shows of them."""
    return state_of(bench, opened)


@router.post("/{session}/heartbeat", summary="Keep a session")
def heartbeat(bench: Bench, opened: Opened) -> dict[str, Any]:
    """Let the session last from now on."""
    return {"expires_in": round(bench.sessions.remaining(opened))}


@router.delete("/{session}", status_code=204, summary="End a session")
def close(bench: Bench, session: str) -> Response:
    """Save the work and let the image go; a session that has ended is no error."""
    bench.sessions.close(session)
    return Response(status_code=204)


@router.post("/{session}/accept", summary="Accept masks")
def accept_masks(bench: Bench, opened: Opened, body: AcceptBody) -> dict[str, Any]:
    """Accept masks; the answer comes when they are on the disk."""
    found = accept(
        bench,
        opened,
        body.labels,
        body.absent,
        as_reference=body.as_reference,
        finish=body.finish,
    )
    return {
        "accepted": [show_acceptance(one) for one in found],
        "state": state_of(bench, opened),
    }


@router.post("/{session}/skip", status_code=204, summary="Skip the image")
def skip_image(bench: Bench, opened: Opened, body: SkipBody) -> Response:
    """Mark the image as skipped and end the session."""
    skip(bench, opened, body.reason)
    return Response(status_code=204)


@router.post("/{session}/next", status_code=201, summary="Go on to the next image")
def go_to_next(bench: Bench, opened: Opened, body: NextBody, response: Response) -> dict[str, Any]:
    """End the session and open the next image, pre-segmented; 200 and null if all is done."""
    found = go_on(bench, opened, body.order, in_background=body.in_background)
    if found is None:
        response.status_code = 200
        return {"session": None}
    return state_of(bench, found)


@router.post("/{session}/propagate", status_code=201, summary="Carry a label through the volume")
def start_propagation(bench: Bench, opened: Opened, body: PropagateBody) -> dict[str, Any]:
    """Start a job that carries a label from the slices worked on to all others."""
    return show_job(bench.propagation_of(opened, body.label, body.sources))


@router.post("/{session}/predict/job", status_code=201, summary="Predict a volume as a job")
def start_prediction(bench: Bench, opened: Opened, body: PredictBody) -> dict[str, Any]:
    """Start a job that predicts classes and labels on all slices, one step of undo."""
    return show_job(bench.prediction_of(opened, body.classes, body.labels))


def state_of(bench: Workbench, opened: OpenSession) -> dict[str, Any]:
    """Return the state of a session."""
    with opened.lock:
        remaining = bench.sessions.remaining(opened)
        return describe_state(opened, bench.label_numbers(), remaining)
