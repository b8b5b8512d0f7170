"""Routes about checkpoints: what was trained here, and which one is in use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from medprism.apps.workbench.routes.given import Bench, Number
from medprism.apps.workbench.training import BASE
from medprism.apps.workbench.views import show_base, show_checkpoint, show_checkpoints
from medprism.core.errors import UnknownEntryError

router = APIRouter(prefix="/api/checkpoints", tags=["checkpoints"])


@router.get("", summary="List checkpoints")
def list_checkpoints(bench: Bench) -> dict[str, Any]:
    """Return the base model, then the checkpoints in the order they were trained."""
    return show_checkpoints(bench)


@router.get("/{checkpoint}", summary="One checkpoint")
def get_checkpoint(bench: Bench, checkpoint: Number) -> dict[str, Any]:
    """Return a checkpoint with what was measured before and after it was trained."""
    if checkpoint == BASE:
        return show_base(bench)
    return show_checkpoint(bench, bench.project.checkpoints.get(checkpoint))


@router.post("/{checkpoint}/use", summary="Use a checkpoint")
def use_checkpoint(bench: Bench, checkpoint: Number) -> dict[str, Any]:
    """Use a checkpoint from now on; 0 goes back to the base model."""
    bench.use_checkpoint(checkpoint)
    return show_checkpoints(bench)


@router.get("/{checkpoint}/file", response_class=FileResponse, summary="The file of a checkpoint")
def get_checkpoint_file(bench: Bench, checkpoint: Number) -> FileResponse:
    """Return the weights with all that is known about them."""
    if checkpoint == BASE:
        raise UnknownEntryError("checkpoint 0 is the base model, which is no file of this project")
    record = bench.project.checkpoints.get(checkpoint)
    path = bench.project.checkpoints.path_of(record)
    return FileResponse(path, media_type="application/octet-stream", filename=record.file)
