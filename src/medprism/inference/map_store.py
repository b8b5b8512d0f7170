"""Probability maps of a whole editing history: exact, in memory up to a budget, then on disk."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
from jaxtyping import Float32

from medprism.core.errors import ConfigError, WriteError

BUDGET_BYTES: Final = 256 * 2**20

Map = Float32[np.ndarray, "height width"]


@dataclass(frozen=True)
class _Place:
    offset: int
    shape: tuple[int, int]


class MapStore:
    """Hand out a number for each map; the least recently used ones move to a nameless file.

    Undo is unlimited and every step must come back bit for bit, so maps are neither dropped nor
    rounded. The file has no name (it vanishes with the process) and is made only when needed.
    Without `spills` there is no file and they are let go: for one pass over an image, of which
    only masks are wanted. Threads may share a store.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES, *, spills: bool = True) -> None:
        self._budget = budget_bytes
        self._spills = spills
        self._recent: OrderedDict[int, Map] = OrderedDict()
        self._places: dict[int, _Place] = {}
        self._num_bytes = 0
        self._count = 0
        self._file: IO[bytes] | None = None
        self._is_closed = False
        self._lock = threading.RLock()

    @property
    def num_bytes(self) -> int:
        """Memory held at present."""
        return self._num_bytes

    def put(self, values: Map) -> int:
        """Keep a map and return its number; the caller must not change the array afterwards.

        Raises:
            WriteError: the memory budget is used up and the temporary folder has no room, or the
                store was closed.
        """
        with self._lock:
            if self._is_closed:
                raise WriteError("the image was closed while this was calculated; open it again")
            number = self._count
            self._keep(number, values)
            self._count += 1
            return number

    def get(self, number: int) -> Map:
        """Return a map, read-only.

        Raises:
            ConfigError: it was let go.
        """
        with self._lock:
            if number in self._recent:
                self._recent.move_to_end(number)
                return self._recent[number]
            if number not in self._places:
                raise ConfigError(
                    "the probability map was let go, as the session's memory says; open one that "
                    "keeps maps to undo, refine or read probabilities"
                )
            values = self._read(self._places[number])
            self._keep(number, values)
            return values

    def close(self) -> None:
        """Release memory and disk; the store must not be used afterwards."""
        with self._lock:
            self._is_closed = True
            self._recent.clear()
            self._num_bytes = 0
            if self._file is not None:
                self._file.close()
                self._file = None

    def _keep(self, number: int, values: Map) -> None:
        while self._recent and self._num_bytes + values.nbytes > self._budget:
            oldest, evicted = next(iter(self._recent.items()))
            if self._spills and oldest not in self._places:
                self._places[oldest] = self._write(evicted)
            del self._recent[oldest]
            self._num_bytes -= evicted.nbytes
        values.flags.writeable = False
        self._recent[number] = values
        self._num_bytes += values.nbytes

    def _write(self, values: Map) -> _Place:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="medprism-")  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            offset = self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(values).data)
            self._file.flush()
        except OSError as error:
            raise WriteError(
                f"cannot keep the editing history in {tempfile.gettempdir()}: "
                f"{error.strerror or error}; free space there or set TMPDIR"
            ) from error
        return _Place(offset, (int(values.shape[0]), int(values.shape[1])))

    def _read(self, place: _Place) -> Map:
        if self._file is None:
            raise WriteError("the editing history was closed; open the image again")
        self._file.seek(place.offset)
        count = place.shape[0] * place.shape[1]
        content = self._file.read(4 * count)
        return np.frombuffer(content, np.float32).reshape(place.shape)
