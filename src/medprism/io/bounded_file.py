"""Files that never promise more than they hold: a damaged length costs no memory."""

from __future__ import annotations

import io
from pathlib import Path


class BoundedFile(io.BufferedReader):
    """A file open for reading whose `read` asks for no more than what is left.

    Python sets aside as many bytes as are asked for before it reads the first one, so a length
    field with four wrong bytes would take 4 GB.
    """

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path)
        super().__init__(raw)
        self._size = raw.seek(0, io.SEEK_END)
        raw.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; all that are left with None or a negative size."""
        if size is not None and size >= 0:
            size = min(size, max(0, self._size - self.tell()))
        return super().read(size)
