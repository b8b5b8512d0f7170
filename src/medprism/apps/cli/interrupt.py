"""Ctrl-C as a wish to stop at the next safe point; a second one ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from medprism.core.progress import Progress

STOPPED: Final = 130
"""Exit status of work that was stopped and can go on, as shells have it for Ctrl-C."""


@dataclass
class Stop:
    """Whether somebody asked to stop."""

    is_wanted: bool = False


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Note Ctrl-C (or a polite kill) while the block runs, in place of ending it.

    The former handlers are back after the first signal, so that a second one ends the program.
    """
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        stop.is_wanted = True
        restore()

    for number in numbers:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()


@dataclass(frozen=True)
class Stoppable:
    """Progress that also asks to stop when somebody pressed Ctrl-C."""

    progress: Progress
    stop: Stop

    def report(self, done: int, total: int, message: str = "") -> None:
        """Say how far it is."""
        self.progress.report(done, total, message)

    def is_cancelled(self) -> bool:
        """Return whether to stop after the step at hand."""
        return self.stop.is_wanted or self.progress.is_cancelled()
