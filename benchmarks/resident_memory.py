"""How much memory a process holds, as Linux counts it."""

from __future__ import annotations

import os
from pathlib import Path


def resident_megabytes(process: int | str = "self") -> float:
    """Return the resident memory of a process (by number; its own by default) in MB of 2**20 bytes.

    >>> resident_megabytes() > 1
    True
    """
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
