"""What sessions of one process may share, so that many of them fit into its memory."""

from __future__ import annotations

from dataclasses import dataclass

from medprism.inference.encoding_cache import BUDGET_BYTES, EncodingCache
from medprism.inference.map_store import BUDGET_BYTES as MAP_BYTES


@dataclass(frozen=True, eq=False)
class Memory:
    """One cache of encodings, and how many bytes of probability maps each session holds.

    Maps beyond `map_bytes` wait in a temporary file; no step of undo is lost.
    """

    cache: EncodingCache
    map_bytes: int = MAP_BYTES

    @classmethod
    def of(cls, cache_bytes: int = BUDGET_BYTES, map_bytes: int = MAP_BYTES) -> Memory:
        """Return a memory with a new cache.

        Raises:
            ConfigError: a budget below 0.

        >>> Memory.of(cache_bytes=1024).cache.num_bytes
        0
        """
        return cls(EncodingCache(cache_bytes), map_bytes)
