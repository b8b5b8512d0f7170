"""Work on many images of a project, one after the other, so that it can stop and go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from medprism.core.errors import CancelledError, MedprismError
from medprism.core.progress import Progress
from medprism.inference.reference_score import leave_one_out
from medprism.project.annotating import (
    Desk,
    open_session,
    presegment,
    references_of,
    save_session,
)
from medprism.project.images import UNFINISHED
from medprism.project.jobs import JobRecord

Json = dict[str, Any]
# The item that holds which images a job is about.
_LIST: Final = "list"
_STOPPED: Final = "stopped; what was segmented stays, resume to go on"


class _Part:
    """Progress inside one item: it passes the wish to stop on, and the item's own steps on hold."""

    def __init__(self, whole: Progress, done: int, total: int, message: str) -> None:
        self._whole, self._done, self._total, self._message = whole, done, total, message

    def report(self, done: int, total: int, message: str = "") -> None:
        self._whole.report(self._done, self._total, self._message)

    def is_cancelled(self) -> bool:
        return self._whole.is_cancelled()


def presegment_images(desk: Desk, job: JobRecord, progress: Progress) -> Json:
    """Apply the project's knowledge to images that nobody began; finished items are not redone.

    Images that somebody works on, or that cannot be read, are passed over and named.

    Raises:
        CancelledError: the progress asked to stop; what is finished stays.
    """
    finished = desk.project.jobs.finished_items(job.id)
    wanted = _wanted(desk, job, finished.get(_LIST))
    for done, image in enumerate(wanted):
        if progress.is_cancelled():
            raise CancelledError(_STOPPED)
        if str(image) not in finished:
            part = _Part(progress, done, len(wanted), f"image {image}")
            part.report(0, 1)
            try:
                finished[str(image)] = _presegment_one(desk, image, part)
            except CancelledError as stopped:
                raise CancelledError(_STOPPED) from stopped
            desk.project.jobs.finish_item(job.id, str(image), finished[str(image)])
    progress.report(len(wanted), len(wanted), "")
    outcomes = [finished[str(image)] for image in wanted]
    return {
        "segmented": sum(one["outcome"] == "segmented" for one in outcomes),
        "left_out": [one for one in outcomes if one["outcome"] != "segmented"],
    }


def _wanted(desk: Desk, job: JobRecord, listed: Json | None) -> list[int]:
    """Return the images of a job: those that were asked for, or nobody's at its first start."""
    if listed is None:
        asked: Sequence[int] = job.payload.get("images") or [
            one.id
            for one in desk.project.images.find(states=UNFINISHED)
            if desk.project.works.of(one.id) is None
        ]
        listed = {"images": list(asked)}
        desk.project.jobs.finish_item(job.id, _LIST, listed)
    return list(listed["images"])


def _presegment_one(desk: Desk, image: int, progress: Progress) -> Json:
    lease = desk.project.leases.of(image)
    if lease is not None:
        return {"image": image, "outcome": "in use", "message": f"{lease.author} works on it"}
    if desk.project.works.of(image) is not None:
        return {"image": image, "outcome": "begun", "message": "somebody has worked on it"}
    try:
        opened = open_session(desk, image, "")
        if not presegment(desk, opened.session, image, progress):
            message = "the project has no class and no reference to segment it with"
            return {"image": image, "outcome": "nothing known", "message": message}
        if desk.project.leases.of(image) is None:
            save_session(desk, opened.session, image, "")
    except CancelledError:
        raise
    except MedprismError as error:
        return {"image": image, "outcome": "failed", "message": str(error)}
    return {"image": image, "outcome": "segmented", "message": ""}


def score_references(desk: Desk, job: JobRecord, progress: Progress) -> Json:
    """Judge every reference of a label (or of all) by leaving it out.

    Raises:
        CancelledError: the progress asked to stop; scores that are known stay.
    """
    label = job.payload.get("label")
    labels = [one.id for one in desk.project.labels.all() if label in (None, one.name)]
    limit = desk.project.preferences.read().references_used
    finished = desk.project.jobs.finished_items(job.id)
    groups = [desk.project.examples.find(one, only_active=True) for one in labels]
    total = sum(len(group) for group in groups if len(group) > 1)
    done = 0
    for group in groups:
        if len(group) < 2:
            continue
        references = references_of(desk, group)
        for at, one in enumerate(group):
            if progress.is_cancelled():
                raise CancelledError("stopped; scores that are known stay, resume to go on")
            progress.report(done, total, one.label_name)
            done += 1
            if str(one.id) in finished:
                continue
            score = round(leave_one_out(desk.scratch(), references, at, limit), 6)
            desk.project.examples.set_score(one.id, score)
            desk.project.jobs.finish_item(job.id, str(one.id), {"score": score})
    progress.report(total, total, "")
    return {"scored": total, "alone": sum(len(group) == 1 for group in groups)}
