"""Guessing a token is slow: after a few wrong ones the answer to each further one waits.

The right token is never held up, so that whoever guesses shuts nobody out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

# People mistype; programs guess.
FREE: Final = 5
# Seconds without a wrong token after which all is forgotten.
FORGOTTEN: Final = 60.0


class WrongTokens:
    """Counts the wrong tokens that were shown lately, on the server's one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._count = 0
        self._last = 0.0

    def note(self) -> float:
        """Count one more and return how many seconds its answer should wait.

        >>> wrong = WrongTokens(1.0, clock=lambda: 100.0)
        >>> [wrong.note() for _ in range(7)]
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
        """
        now = self._clock()
        if now - self._last > FORGOTTEN:
            self._count = 0
        self._count, self._last = self._count + 1, now
        return self._seconds if self._count > FREE else 0.0

    async def hold_up(self) -> None:
        """Count one more and wait as long as its answer should."""
        await asyncio.sleep(self.note())
