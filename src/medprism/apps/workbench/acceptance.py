"""Accepting, skipping and going on: what ends the work on an image."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from medprism.apps.workbench.open_session import OpenSession
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import (
    ConflictError,
    InUseError,
    LabelError,
    MedprismError,
    WriteError,
)
from medprism.inference.session import Session
from medprism.project.annotating import knows_something
from medprism.project.masks import Acceptance, Accepting

_log = logging.getLogger(__name__)


def accept(
    bench: Workbench,
    opened: OpenSession,
    labels: Sequence[str] | None,
    absent: Sequence[str],
    *,
    as_reference: bool,
    finish: bool,
) -> list[Acceptance]:
    """Accept masks of a session; when this returns they are on the disk.

    Without `labels` all that have a mask. On any failure the session is as it was before.

    Raises:
        LabelError: an unknown label, or one that is both accepted and absent.
        ConflictError: there is nothing to accept.
        WriteError: the disk refuses; nothing was accepted.
    """
    session = opened.session
    with opened.lock:
        present = _chosen(session, labels, absent)
        if not present and not absent:
            raise ConflictError(
                "there is no mask to accept: segment something first, or say what is absent"
            )
        steps = _lock(session, present, absent)
        try:
            entries = [Accepting(bench.label(name), session.mask(name)) for name in present]
            entries += [Accepting(bench.label(name), None) for name in absent]
            image = session.image
            if image is None:
                raise ConflictError("no image is open")
            uses_references = bench.model.segmenter.accepts.references
            found = bench.project.masks.accept(
                opened.image,
                image,
                entries,
                opened.author,
                state="accepted" if finish else "started",
                example_origin="accepted" if as_reference and uses_references else None,
            )
        except BaseException:
            for _ in range(steps):
                session.undo()
            raise
        opened.note_change()
        bench.sessions.note_knowledge()
        _save_log(bench, opened)
    if as_reference and bench.project.preferences.read().score_on_accept:
        for name in present:
            bench.jobs.start("score", {"label": name}, opened.author)
    return found


def skip(bench: Workbench, opened: OpenSession, reason: str) -> None:
    """Mark the image as skipped and end the session."""
    bench.project.images.set_state(opened.image, "skipped", reason.strip() or None)
    bench.sessions.close(opened.holder)


def go_on(
    bench: Workbench, opened: OpenSession, order: str | None, *, in_background: bool = False
) -> OpenSession | None:
    """End a session and open the next image, pre-segmented; None if all images are done.

    A volume is pre-segmented by a job if that may happen `in_background`.

    An image that cannot be read is passed over; the list shows it as broken.

    Raises:
        FullError: another person took the place meanwhile.
    """
    chosen = order or bench.project.preferences.read().order
    author, after = opened.author, opened.image
    bench.sessions.close(opened.holder)
    while True:
        following = bench.sessions.next_image(after=after, order=chosen)
        if following is None:
            return None
        try:
            found = open_for_work(bench, following.id, author, in_background=in_background)
        except InUseError:
            # Somebody was quicker; it is not offered again while they work on it.
            continue
        except MedprismError:
            if bench.project.images.get(following.id).state != "broken":
                raise
            after = following.id
            continue
        prepare_next(bench, found)
        return found


def open_for_work(
    bench: Workbench,
    image: int,
    author: str,
    *,
    take_over: bool = False,
    in_background: bool,
) -> OpenSession:
    """Open an image and predict on it what the project knows, unless somebody began it before.

    With `in_background` a volume is predicted by a job, which the session names, so that it can
    be looked at meanwhile.

    Raises:
        InUseError: somebody works on it.
        FullError: as many sessions are open as may.
        ImageReadError: its file cannot be read.
    """
    by_job = in_background and bench.desk.shelf.get(image).num_slices > 1
    opened = bench.sessions.open(image, author, take_over=take_over, wants_presegment=not by_job)
    if by_job and len(opened.session.log) == 0 and knows_something(bench.desk, opened.session):
        bench.presegmentation_of(opened)
    return opened


def prepare_next(bench: Workbench, opened: OpenSession) -> None:
    """Make the opened image ready for the first click, and the next one if the project wants that.

    Both in the background.
    """
    bench.sessions.encode(opened)
    wishes = bench.project.preferences.read()
    if not wishes.presegment_next:
        return
    following = bench.sessions.next_image(after=opened.image, order=wishes.order)
    if following is not None:
        bench.sessions.prepare(following.id, opened.author)


def note_work(bench: Workbench, opened: OpenSession) -> None:
    """Keep that somebody changed something, so the image is no longer new."""
    opened.note_change()
    if not opened.is_begun:
        bench.project.images.begin(opened.image)
        opened.is_begun = True


def _chosen(session: Session, labels: Sequence[str] | None, absent: Sequence[str]) -> list[str]:
    if labels is None:
        return [name for name in session.labels if name not in absent and session.mask(name).any()]
    both = set(labels) & set(absent)
    unknown = [name for name in labels if name not in session.labels]
    if both or unknown:
        raise LabelError(
            f"label {min(both)!r} cannot be both there and absent; choose one"
            if both
            else f"there is no label {unknown[0]!r} on this image; it has "
            f"{', '.join(session.labels) or 'none'}"
        )
    empty = [name for name in labels if not session.mask(name).any()]
    if empty:
        raise LabelError(
            f"label {empty[0]!r} has an empty mask; segment it, or accept it as absent"
        )
    return list(dict.fromkeys(labels))


def _lock(session: Session, present: Sequence[str], absent: Sequence[str]) -> int:
    """Lock what is accepted in the session; return the number of steps this took."""
    free = [name for name in present if name not in session.locked]
    if free:
        session.commit(*free)
    steps = len(free)
    for name in absent:
        if name in session.labels and name not in session.locked:
            mask = np.zeros(session.mask(name).shape, dtype=bool)
            session.add_initial_seg_interaction(mask, name)
            session.lock(name)
            steps += 2
    return steps


def _save_log(bench: Workbench, opened: OpenSession) -> None:
    try:
        bench.sessions.save(opened)
    except WriteError:
        # The masks are safe; the sweeper tries again, and the state says so until then.
        _log.warning("a prompt log could not be saved")
