"""How much memory one file may unpack into: a part of what this process may use."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError

# Reading holds an image up to four times: packed values, their scale, another type, another order.
SHARE: Final = 4
# What is packed less than this is a large file and no bomb.
PACKING: Final = 20
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


def check_unpacked(unpacked: int, available: int) -> None:
    """Refuse a small file that unpacks into more than a quarter of the memory there is.

    Args:
        unpacked: bytes that its header promises, or that were counted.
        available: bytes of the file.

    Raises:
        ImageReadError: it does; the message names both sizes and the limit.
    """
    limit = memory_bytes() // SHARE
    if unpacked > limit and unpacked > PACKING * available:
        raise ImageReadError(
            f"its {available} bytes would unpack to {unpacked}; files that are packed more than "
            f"{PACKING} times may take {limit} bytes here (a quarter of the memory); if it is what "
            "it should be, save it unpacked first"
        )


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container or limit this process runs in.

    >>> memory_bytes() > 2**20
    True
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            found.append(soft)
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        text = ""
    if text.isdecimal():
        found.append(int(text))
    return min(found)
