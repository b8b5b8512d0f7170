"""Routes about labels."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from medprism.apps.workbench.routes.given import Bench, Number
from medprism.apps.workbench.schemas import LabelChange, NewLabel
from medprism.apps.workbench.views import show_label

router = APIRouter(prefix="/api/labels", tags=["labels"])


@router.get("", summary="List labels")
def list_labels(bench: Bench) -> dict[str, Any]:
    """Return all labels in the order they were made."""
    return {"labels": [show_label(bench, one) for one in bench.project.labels.all()]}


@router.post("", status_code=201, summary="Make a label")
def add_label(bench: Bench, body: NewLabel) -> dict[str, Any]:
    """Make a label, or return the one of this name; a class's synonym gives the class."""
    label = bench.label(body.name, body.colour)
    if body.colour is not None:
        label = bench.project.labels.change(label.id, colour=body.colour)
    bench.sessions.note_knowledge()
    return show_label(bench, label)


@router.patch("/{label}", summary="Rename or recolour a label")
def change_label(bench: Bench, label: Number, body: LabelChange) -> dict[str, Any]:
    """Give a label another name or colour."""
    changed = bench.project.labels.change(label, name=body.name, colour=body.colour)
    return show_label(bench, changed)


@router.delete("/{label}", status_code=204, summary="Remove a label without accepted masks")
def remove_label(bench: Bench, label: Number) -> Response:
    """Remove a label that no mask was ever accepted under."""
    bench.project.labels.remove(label)
    return Response(status_code=204)
