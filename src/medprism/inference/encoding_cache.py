"""Encodings kept for the next click: least recently used, with a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from medprism.core.errors import ConfigError
from medprism.inference.own_pages import in_own_pages
from medprism.inference.zoom import Crop
from medprism.models.segmenter import TensorValue

BUDGET_BYTES: Final = 512 * 2**20

_Value = TypeVar("_Value", bound=TensorValue)


@dataclass(frozen=True)
class EncodingKey:
    """Everything an encoding depends on.

    `image` is the content hash, `preprocessing` the hash of intensity rule and size, `condition`
    a task the encoder is told (none so far), `mask` the hash of a reference with its mask, None
    for an image that is to be segmented, `engine` what computed it.
    """

    image: str
    slice_index: int
    crop: Crop | None
    preprocessing: str
    condition: str | None
    weights: str
    mask: str | None = None
    engine: str = "torch"


class EncodingCache:
    """Encode once, then answer from memory while the budget lasts.

    The value used last is kept even if it is larger than the budget. Threads may share a cache:
    who wants an encoding that another thread makes waits for it. Large tensors are kept outside the
    heap (`own_pages`).
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        if budget_bytes < 0:
            raise ConfigError(f"cache of {budget_bytes} bytes; give 0 or more")
        self._budget = budget_bytes
        self._values: OrderedDict[EncodingKey, TensorValue] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()
        self._making: dict[EncodingKey, threading.Event] = {}

    @property
    def num_bytes(self) -> int:
        """Memory held by the encodings."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def get(self, key: EncodingKey, encode: Callable[[], _Value]) -> _Value:
        """Return the encoding of this key, made by `encode` if it is not at hand.

        Where the thread that makes it fails, the next one that waits tries.
        """
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]  # type: ignore[return-value]
                awaited = self._making.get(key)
                if awaited is None:
                    made = self._making[key] = threading.Event()
                    break
            awaited.wait()
        try:
            value = encode().map(in_own_pages)
            self._keep(key, value)
        finally:
            with self._lock:
                del self._making[key]
            made.set()
        return value

    def _keep(self, key: EncodingKey, value: TensorValue) -> None:
        with self._lock:
            self._values[key] = value
            self._num_bytes += value.num_bytes
            while self._num_bytes > self._budget and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._num_bytes -= oldest.num_bytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._num_bytes = 0
