"""Progress of long work: report and cancel, whatever shows it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """What long work tells the outside; bars, server events and jobs implement it."""

    def report(self, done: int, total: int, message: str = "") -> None:
        """Say that `done` of `total` units are finished; `total` is 0 where it is not known."""

    def is_cancelled(self) -> bool:
        """Return True once the work should stop at its next safe point."""


class SilentProgress:
    """Report nothing and never cancel."""

    def report(self, done: int, total: int, message: str = "") -> None:
        """Ignore the report."""

    def is_cancelled(self) -> bool:
        """Return False."""
        return False
