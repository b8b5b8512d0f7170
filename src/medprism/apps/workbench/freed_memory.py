"""What the server no longer needs goes back to the system, so that its memory does not creep up.

glibc keeps freed memory for each group of threads. The network runs on one thread, but all before
and after it runs on whichever is free, so that in time every group keeps the peak of an answer; and
pages between pieces that are still in use are kept as well.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final

# Parameter of mallopt, from malloc.h.
_M_ARENA_MAX: Final = -8
ARENAS: Final = 4
SECONDS: Final = 10.0


def limit_arenas(most: int = ARENAS) -> bool:
    """Let threads share so many groups of memory from now on; False where there is no glibc.

    The model answers one request at a time, so that threads seldom wait for one another here.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, most))


def return_freed_memory() -> bool:
    """Give freed pages back to the system; False where there is no glibc, or none to give."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))


class MemorySweep:
    """Gives freed memory back from time to time; called again and again."""

    def __init__(
        self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last = clock()

    def __call__(self) -> None:
        """Give memory back if it is time to."""
        if self._clock() - self._last >= self._seconds:
            return_freed_memory()
            self._last = self._clock()
