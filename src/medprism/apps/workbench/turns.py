"""Who may use the model: people first, background work when nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medprism.core.progress import Progress


class ModelTurns:
    """Lets `workers` answers for people be calculated at once; background work gives way."""

    def __init__(self, workers: int = 1) -> None:
        self._free = threading.BoundedSemaphore(workers)
        self._people = 0
        self._changed = threading.Condition()

    @contextmanager
    def for_a_person(self) -> Iterator[None]:
        """Wait for a turn and hold it during the block."""
        with self._changed:
            self._people += 1
        try:
            with self._free:
                yield
        finally:
            with self._changed:
                self._people -= 1
                self._changed.notify_all()

    def give_way(self, is_cancelled: Callable[[], bool]) -> None:
        """Wait until nobody waits for an answer, or the work is to stop."""
        with self._changed:
            while self._people and not is_cancelled():
                self._changed.wait(timeout=0.05)


class Courteous:
    """Progress of background work that lets people pass at every report.

    It does so until `is_pressing`; without it, until the work is to stop.
    """

    def __init__(
        self,
        turns: ModelTurns,
        progress: Progress,
        is_pressing: Callable[[], bool] | None = None,
    ) -> None:
        self._turns = turns
        self._progress = progress
        self._is_pressing = is_pressing or progress.is_cancelled

    def report(self, done: int, total: int, message: str = "") -> None:
        """Pass the report on, then wait while somebody needs the model."""
        self._progress.report(done, total, message)
        self._turns.give_way(self._is_pressing)

    def is_cancelled(self) -> bool:
        """Return whether the work should stop."""
        return self._progress.is_cancelled()
