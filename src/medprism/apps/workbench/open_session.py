"""One image that a person works on: the session, its lease, and what the client is told of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medprism.core.errors import PromptError
from medprism.core.labels import encode_runs
from medprism.core.prompt import Mask2d
from medprism.inference.annotation import Annotation, LabelState
from medprism.inference.packed_mask import PackedMask
from medprism.inference.placement import place_slice
from medprism.inference.session import Session

Json = dict[str, Any]


@dataclass(eq=False)
class OpenSession:
    """A session with its lease; everything that changes it holds `lock`.

    `revision` grows with every change, so a client can tell old masks from new ones; `is_begun`
    once a person changed something; `job` is the last job on this session; `confidence` is that of
    the last propagation by label; `save_failure` says why the log is not saved.
    """

    holder: str
    image: int
    author: str
    session: Session
    notice: str | None
    expires: float
    renew_at: float
    lock: threading.RLock = field(default_factory=threading.RLock)
    revision: int = 0
    is_unsaved: bool = False
    is_closed: bool = False
    is_begun: bool = False
    job: int | None = None
    save_failure: str | None = None
    confidence: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def note_change(self) -> None:
        """Say that something changed that is not saved yet."""
        self.revision += 1
        self.is_unsaved = True


def describe_state(opened: OpenSession, labels: Mapping[str, int], expires_in: float) -> Json:
    """Return the state of a session as docs/server.md shows it; `labels` gives their numbers."""
    annotation = opened.session.annotation
    log = opened.session.log
    can_redo = any(event.parent == log.pointer for event in log.events)
    return {
        "session": opened.holder,
        "image": opened.image,
        "author": opened.author,
        "expires_in": round(expires_in),
        "revision": opened.revision,
        "can_undo": log.pointer is not None,
        "can_redo": can_redo,
        "notice": opened.save_failure or opened.notice,
        "job": opened.job,
        "labels": [
            _describe_label(name, state, annotation, labels.get(name), opened.confidence.get(name))
            for name, state in annotation.labels.items()
        ],
    }


def masks_on(session: Session, slice_index: int) -> dict[str, Mask2d]:
    """Return the mask of every label on a slice; labels without one there are empty.

    Raises:
        PromptError: there is no such slice.
    """
    image = session.image
    annotation = session.annotation
    if image is None:
        return {}
    at = place_slice(image, slice_index)
    shown = {name: annotation.mask_on(name, at) for name in annotation.labels}
    empty = np.zeros(image.geometry.shape[1:], dtype=bool)
    return {name: empty if mask is None else mask for name, mask in shown.items()}


def shown_first(session: Session) -> int:
    """Return the slice that the page begins with: the middle one, or of those with a mask.

    client/src/work/opening.ts decides the same.

    Raises:
        PromptError: no image is open.
    """
    image = session.image
    if image is None:
        raise PromptError("no image is open")
    middle = image.num_slices // 2
    masked = {
        index
        for state in session.annotation.labels.values()
        for index, one in state.slices.items()
        if one.result is not None and one.result.mask
    }
    if not masked or middle in masked:
        return middle
    return sorted(masked)[len(masked) // 2]


def runs_of(mask: Mask2d) -> Json:
    """Return a mask as run lengths.

    >>> runs_of(np.array([[False, True], [True, False]]))
    {'shape': [2, 2], 'runs': [1, 2, 1]}
    """
    return {"shape": list(mask.shape), "runs": encode_runs(mask)}


def _describe_label(
    name: str,
    state: LabelState,
    annotation: Annotation,
    number: int | None,
    confidence: tuple[float, ...] | None,
) -> Json:
    found = {
        index: one.result.mask
        for index, one in sorted(state.slices.items())
        if one.result is not None and one.result.mask
    }
    uses = "nothing"
    if state.concept is not None:
        uses = "class"
    elif name in annotation.bank:
        uses = "references"
    return {
        "name": name,
        "label": number,
        "presence": round(state.presence, 6),
        "is_locked": state.is_locked,
        "pixels": sum(_count(mask) for mask in found.values()),
        "slices_with_mask": list(found),
        "interactions": state.num_interactions,
        "uses": uses,
        "confidence": None if confidence is None else list(confidence),
    }


def _count(mask: PackedMask) -> int:
    return int.from_bytes(mask.bits).bit_count()
