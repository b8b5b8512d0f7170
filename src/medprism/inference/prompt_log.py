"""The prompt log: everything that was done to an image, append-only; undo moves a pointer."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import cv2
import numpy as np
import torch

from medprism.core.errors import InternalError
from medprism.engines.loaded import LoadedModel
from medprism.inference.action import Action


@dataclass(frozen=True)
class Origin:
    """What computed a mask; equal origins rebuild it bit for bit."""

    weights: str
    engine: str
    threads: int
    versions: Mapping[str, str]

    @classmethod
    def of(cls, model: LoadedModel) -> Origin:
        """Return the origin of what this model computes in this process."""
        return cls(model.weights_hash, model.engine, model.threads, _versions())


@dataclass(frozen=True, eq=False)
class Event:
    """One action with everything needed to repeat it.

    `parent` is the event it follows, None for the first; `image` the hash of the image and
    `references` the hashes of the references in use; `time` is ISO 8601 in UTC.
    """

    seq: int
    parent: int | None
    action: Action
    image: str
    references: tuple[str, ...]
    origin: Origin
    author: str
    time: str


class PromptLog:
    """Events and the one the image stands at; an undone branch stays in the log."""

    def __init__(self, events: tuple[Event, ...] = (), pointer: int | None = None) -> None:
        self._events = list(events)
        self._pointer = pointer

    @property
    def events(self) -> tuple[Event, ...]:
        """All events ever, in the order they happened."""
        return tuple(self._events)

    @property
    def pointer(self) -> int | None:
        """Sequence number of the event the image stands at; None before the first."""
        return self._pointer

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> None:
        """Add an event after the one the image stands at, and stand at it."""
        if event.seq != len(self._events) or event.parent != self._pointer:
            raise InternalError(f"event {event.seq} does not continue the prompt log")
        self._events.append(event)
        self._pointer = event.seq

    def undo(self) -> bool:
        """Step back; False at the start."""
        if self._pointer is None:
            return False
        self._pointer = self._events[self._pointer].parent
        return True

    def redo(self) -> bool:
        """Step forward again along what was done last; False if nothing was undone."""
        following = [event.seq for event in self._events if event.parent == self._pointer]
        if not following:
            return False
        # A younger branch hides the older ones, as in any editor.
        self._pointer = following[-1]
        return True

    def path(self) -> tuple[Event, ...]:
        """Return the events that lead to where the image stands, first to last."""
        path = []
        at = self._pointer
        while at is not None:
            path.append(self._events[at])
            at = self._events[at].parent
        return tuple(reversed(path))


@cache
def _versions() -> Mapping[str, str]:
    return {
        "medprism": version("medprism"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        # Kernels are chosen by instruction set, and with them the last bit.
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }
