"""The time of day for deadlines: it goes on evenly, whatever happens to the machine's clock."""

from __future__ import annotations

import time
from typing import Final

# Linux counts the time for which a machine slept here too; elsewhere it is left out.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BEGAN: Final = time.time() - time.clock_gettime(_CLOCK)


def steady_time() -> float:
    """Return seconds since 1970 by the clock as it stood when this process began.

    It never goes backwards and never jumps, so that a lease neither ends early nor lasts for hours
    where somebody sets the clock. What is only noted for people has the time of the clock itself.

    >>> before = steady_time()
    >>> before <= steady_time()
    True
    """
    return _BEGAN + time.clock_gettime(_CLOCK)
