"""Routes about long work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, StreamingResponse

from medprism.apps.workbench.routes.given import Author, Bench, Number
from medprism.apps.workbench.schemas import ExportJob, JobBody, ScoreJob, TrainingJob
from medprism.apps.workbench.views import show_job
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConflictError, UnknownEntryError, WriteError
from medprism.project.confinement import inside
from medprism.project.export import EXPORT_FORMATS

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

_LOOK_EVERY: Final = 0.15
# Comments keep proxies and browsers from giving up on a job that says nothing for long.
_BREATH_EVERY: Final = 60


@router.get("", summary="List jobs")
def list_jobs(bench: Bench) -> dict[str, Any]:
    """Return the latest hundred jobs, the last one first."""
    return {"jobs": [show_job(bench.jobs.show(one.id)) for one in bench.project.jobs.latest()]}


@router.post("", status_code=201, summary="Start a job")
def start_job(bench: Bench, author: Author, body: JobBody) -> dict[str, Any]:
    """Start to pre-segment, to score references, to export, or to train a class."""
    if isinstance(body, ExportJob) and body.format not in EXPORT_FORMATS:
        raise WriteError(f"there is no format {body.format!r}; choose {', '.join(EXPORT_FORMATS)}")
    if isinstance(body, ScoreJob) and body.label is not None:
        bench.label(body.label)
    if isinstance(body, TrainingJob):
        wishes = body.model_dump(exclude={"kind", "label"})
        return show_job(bench.training_of(body.label, author, **wishes))
    for image in getattr(body, "images", None) or []:
        bench.project.images.get(image)
    return show_job(bench.jobs.start(body.kind, body.model_dump(exclude={"kind"}), author))


@router.get("/{job}", summary="One job")
def get_job(bench: Bench, job: Number) -> dict[str, Any]:
    """Return a job as it stands."""
    return show_job(bench.jobs.show(job))


@router.get("/{job}/events", response_class=StreamingResponse, summary="Progress as it happens")
def follow_job(bench: Bench, job: Number) -> StreamingResponse:
    """Return server-sent events: `progress` with the job, then `end`."""
    bench.jobs.show(job)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        job_events(bench, job), media_type="text/event-stream", headers=headers
    )


@router.post("/{job}/cancel", summary="Stop a job")
def cancel_job(bench: Bench, job: Number) -> dict[str, Any]:
    """Ask a job to stop at its next safe point."""
    return show_job(bench.jobs.cancel(job))


@router.post("/{job}/resume", summary="Go on with a job")
def resume_job(bench: Bench, job: Number) -> dict[str, Any]:
    """Go on with a cancelled or failed job; what is done is not done again."""
    if bench.jobs.is_short(bench.project.jobs.get(job).kind):
        raise ConflictError("this job belongs to a session; start it there once more")
    return show_job(bench.jobs.resume(job))


@router.get("/{job}/file", response_class=FileResponse, summary="The file a job made")
def get_file(bench: Bench, job: Number) -> FileResponse:
    """Return the ZIP of an export."""
    name = bench.project.jobs.get(job).file
    if name is None:
        raise UnknownEntryError(f"job {job} made no file; only an export that is done does")
    path = inside(bench.project.exports, name)
    if not path.is_file():
        raise UnknownEntryError(f"the file of job {job} was deleted; export once more")
    return FileResponse(path, media_type="application/zip", filename=name)


async def job_events(bench: Workbench, job: int) -> AsyncIterator[str]:
    """Yield the events of a job until it ends."""
    told = ""
    silent = 0
    while True:
        # One row of a local table: faster than handing it to a thread.
        shown = bench.jobs.show(job)
        text = json.dumps(show_job(shown))
        if text != told:
            told, silent = text, 0
            yield f"event: progress\ndata: {text}\n\n"
        if shown.is_ended:
            yield f"event: end\ndata: {text}\n\n"
            return
        silent += 1
        if silent % _BREATH_EVERY == 0:
            yield ": still here\n\n"
        await asyncio.sleep(_LOOK_EVERY)
