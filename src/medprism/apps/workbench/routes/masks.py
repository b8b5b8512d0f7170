"""Routes that change or show the masks of a session."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from medprism.apps.workbench.acceptance import note_work
from medprism.apps.workbench.open_session import OpenSession, masks_on, runs_of
from medprism.apps.workbench.pictures import map_png, mask_png
from medprism.apps.workbench.prompts import apply_prompt
from medprism.apps.workbench.routes.given import Bench, Opened
from medprism.apps.workbench.routes.sessions import state_of
from medprism.apps.workbench.schemas import (
    KnowledgeBody,
    LockBody,
    PredictBody,
    PromptBody,
    SliceBody,
)
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConflictError, LabelError
from medprism.inference.placement import place_slice
from medprism.inference.reference_score import disagreement
from medprism.inference.session import Session
from medprism.project.annotating import chosen_examples, references_of, use_references

router = APIRouter(prefix="/api/sessions/{session}", tags=["masks"])

At = Annotated[int, Query(ge=0, description="Slice, from 0.")]
LabelName = Annotated[str, Query(max_length=100, description="Name of a label.")]


@router.post("/prompts", summary="One prompt")
def add_prompt(bench: Bench, opened: Opened, body: PromptBody) -> dict[str, Any]:
    """Click, draw, brush or erase; the masks of the slice come back."""
    label = bench.label(body.label)
    prompt = body.model_copy(update={"label": label.name})
    at = 0 if _is_planar(opened.session) else body.slice
    return _change(bench, opened, at, lambda session: apply_prompt(session, prompt))


@router.post("/predict", summary="Predict classes and labels")
def predict(bench: Bench, opened: Opened, body: PredictBody) -> dict[str, Any]:
    """Ask for classes by name, and for labels with references; on all slices."""
    for name in body.classes or []:
        if bench.class_name(name) is not None:
            bench.label(name)

    def change(session: Session) -> None:
        session.predict(labels=body.labels, classes=body.classes)

    return _change(bench, opened, body.slice, change)


@router.post("/knowledge", summary="Which references a label starts from")
def set_knowledge(bench: Bench, opened: Opened, body: KnowledgeBody) -> dict[str, Any]:
    """Use the project's references for a label, some of them, or none, and predict again."""
    label = bench.label(body.label)
    if body.use == "nothing":
        examples = []
    elif body.references is None:
        examples = chosen_examples(bench.desk, label.id, opened.image)
    else:
        examples = [bench.project.examples.get(one) for one in body.references]
    wrong = [one for one in examples if one.label != label.id or one.image == opened.image]
    if wrong or (body.use == "references" and not examples):
        raise ConflictError(
            f"reference {wrong[0].id} is of another label or of this very image; choose others"
            if wrong
            else f"label {label.name!r} has no reference on another image; accept one first"
        )

    def change(session: Session) -> None:
        use_references(session, label.name, references_of(bench.desk, examples))
        if examples and body.predict:
            session.predict(labels=[label.name])

    return _change(bench, opened, body.slice, change)


@router.post("/undo", summary="One step back")
def undo(bench: Bench, opened: Opened, body: SliceBody) -> dict[str, Any]:
    """Take the last step back."""
    return _change(bench, opened, body.slice, _undo)


@router.post("/redo", summary="One step forwards")
def redo(bench: Bench, opened: Opened, body: SliceBody) -> dict[str, Any]:
    """Do an undone step again."""
    return _change(bench, opened, body.slice, _redo)


@router.post("/reset", summary="Forget all that is not locked")
def reset(bench: Bench, opened: Opened, body: SliceBody) -> dict[str, Any]:
    """Forget all labels except locked ones; undo brings them back."""
    return _change(bench, opened, body.slice, Session.reset_interactions)


@router.post("/locks", summary="Lock or unlock a label")
def set_lock(bench: Bench, opened: Opened, body: LockBody) -> dict[str, Any]:
    """Freeze a label's mask and keep the others out of it, or undo that."""
    turn = Session.lock if body.is_locked else Session.unlock
    return _change(bench, opened, body.slice, lambda session: turn(session, body.label))


@router.get("/masks", summary="Masks of a slice")
def get_masks(opened: Opened, slice: At = 0) -> dict[str, Any]:
    """Return the runs of every label on a slice."""
    with opened.lock:
        shown = masks_on(opened.session, slice)
        return {
            "revision": opened.revision,
            "slice": slice,
            "masks": {name: runs_of(mask) for name, mask in shown.items()},
        }


@router.get("/mask.png", response_class=Response, summary="Masks of a slice as picture")
def get_mask_png(
    bench: Bench,
    opened: Opened,
    slice: At = 0,
    label: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Return an indexed PNG in the labels' colours."""
    with opened.lock:
        shown = masks_on(opened.session, slice)
    if label is not None:
        shown = {label: shown[_known(opened.session, label)]}
    if not shown:
        raise ConflictError("there is no label on this image yet; click, or predict one")
    colours = {one.name: one.colour for one in bench.project.labels.all()}
    used = [colours.get(name, (230, 159, 0)) for name in shown]
    return _png(mask_png(list(shown.values()), used))


@router.get("/probability.png", response_class=Response, summary="Probability of a label")
def get_probability(opened: Opened, label: LabelName, slice: At = 0) -> Response:
    """Return the probability on a slice as 8 bit grey, 255 = certain."""
    with opened.lock:
        session = opened.session
        at = _slice(session, slice)
        return _png(map_png(session.probability(_known(session, label), slice_index=at)))


@router.get("/disagreement.png", response_class=Response, summary="Where references disagree")
def get_disagreement(bench: Bench, opened: Opened, label: LabelName, slice: At = 0) -> Response:
    """Return the standard deviation of the references' answers as 8 bit grey, 255 = 0.5."""
    session = opened.session
    image = session.image
    if image is None:
        raise ConflictError("no image is open")
    references = session.references.of(label)
    with bench.turns.for_a_person():
        found = disagreement(bench.desk.scratch(), image, _slice(session, slice), references)
    return _png(map_png(found, 0.5))


def _change(
    bench: Workbench, opened: OpenSession, slice_index: int, change: Callable[[Session], None]
) -> dict[str, Any]:
    """Carry out a change for a person and return the answer."""
    started = time.perf_counter()
    with bench.turns.for_a_person(), opened.lock:
        at = _slice(opened.session, slice_index)
        change(opened.session)
        note_work(bench, opened)
        shown = masks_on(opened.session, at)
    return {
        "state": state_of(bench, opened),
        "slice": at,
        "milliseconds": round(1000 * (time.perf_counter() - started), 1),
        "masks": {name: runs_of(mask) for name, mask in shown.items()},
    }


def _undo(session: Session) -> None:
    if not session.undo():
        raise ConflictError("there is nothing to undo")


def _redo(session: Session) -> None:
    if not session.redo():
        raise ConflictError("there is nothing to do again")


def _slice(session: Session, slice_index: int) -> int:
    image = session.image
    if image is None:
        raise ConflictError("no image is open")
    return place_slice(image, slice_index)


def _known(session: Session, label: str) -> str:
    if label not in session.labels:
        raise LabelError(
            f"there is no label {label!r} on this image; it has "
            f"{', '.join(session.labels) or 'none'}"
        )
    return label


def _is_planar(session: Session) -> bool:
    return session.image is None or session.image.is_planar


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})
