"""Training as MONAI Label's clients ask for it: the workbench's job under other names."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query

from medprism.apps.workbench.routes.given import Author, Bench
from medprism.apps.workbench.views import show_job
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConflictError, PromptError, UnknownEntryError
from medprism.project.jobs import JobRecord

router = APIRouter(tags=["monai label"])

# The only one of the models of `/info/` that is trained.
TRAINED: Final = "classes"


def describe_trainers(bench: Workbench) -> dict[str, Any]:
    """Return what `/info/` lists; nothing for a model without classes."""
    if not bench.model.segmenter.accepts.classes:
        return {}
    said = "a class from the accepted masks of a label; label, and minutes or steps"
    return {TRAINED: {"description": said, "config": {"label": "", "minutes": 2}}}


@router.get("/train/", summary="Does a training run?")
def train_status(
    bench: Bench, check_if_running: Annotated[bool, Query(description="Only whether.")] = False
) -> dict[str, Any]:
    """Return the training that runs or waits; 404 if none does."""
    return _told(_running(bench))


@router.post("/train/", summary="Start a training")
@router.post("/train/{model}", summary="Start a training")
def train_start(
    bench: Bench,
    author: Author,
    model: str = TRAINED,
    params: Annotated[dict[str, Any] | None, Body()] = None,
) -> dict[str, Any]:
    """Train the class of a label; without one, of that with most masks that is no class yet."""
    if model != TRAINED:
        raise UnknownEntryError(f"{model[:40]!r} is not trained; `/info/` lists {TRAINED}")
    said = params or {}
    label = said.get("label") or _most_accepted(bench)
    minutes, steps = _number(said, "minutes", 240), _number(said, "steps", 100_000)
    if not isinstance(label, str):
        raise PromptError("label must be a name")
    if steps is not None:
        return _told(bench.training_of(label, author, steps=int(steps)))
    return _told(bench.training_of(label, author, minutes=minutes))


@router.delete("/train/", summary="Stop a training")
def train_stop(bench: Bench) -> dict[str, Any]:
    """Cancel the training that runs or waits; 404 if none does."""
    return _told(bench.jobs.cancel(_running(bench).id))


def _running(bench: Workbench) -> JobRecord:
    for job in bench.project.jobs.unended():
        if job.kind == "training":
            return bench.jobs.show(job.id)
    raise UnknownEntryError("no training runs or waits; start one with POST /train/classes")


def _most_accepted(bench: Workbench) -> str:
    labels = bench.project.labels
    counts = {
        one.name: labels.count_masks(one.id)
        for one in labels.all()
        if bench.class_name(one.name) is None
    }
    if not counts:
        raise ConflictError("every label is a class already; name the one to train (label)")
    return max(counts, key=lambda name: counts[name])


def _number(said: dict[str, Any], name: str, most: int) -> float | None:
    value = said.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= most:
        raise PromptError(f"{name} is {str(value)[:40]!r}; it must be above 0, up to {most}")
    return float(value)


def _told(job: JobRecord) -> dict[str, Any]:
    status = {"queued": "PENDING", "running": "RUNNING", "done": "DONE", "cancelled": "REVOKED"}
    return {
        "id": str(job.id),
        "model": TRAINED,
        "status": status.get(job.state, "ERROR"),
        "start_ts": job.created,
        "details": [],
        "job": show_job(job),
    }
