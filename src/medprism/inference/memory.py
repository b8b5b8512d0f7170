"""What sessions of one process may share, so that many of them fit into its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medprism.inference.encoding_cache import BUDGET_BYTES, EncodingCache
from medprism.inference.map_store import BUDGET_BYTES as MAP_BYTES

# A few slices of the largest model (22 MB each at 512 pixels) and references beside them.
PASS_CACHE_BYTES: Final = 2**27
PASS_MAP_BYTES: Final = 2**24


@dataclass(frozen=True, eq=False)
class Memory:
    """One cache of encodings, and how many bytes of probability maps each session holds.

    Maps beyond `map_bytes` wait in a temporary file; no step of undo is lost. Without `keeps_maps`
    they are let go, and with them all that needs a former probability.
    """

    cache: EncodingCache
    map_bytes: int = MAP_BYTES
    keeps_maps: bool = True

    @classmethod
    def of(cls, cache_bytes: int = BUDGET_BYTES, map_bytes: int = MAP_BYTES) -> Memory:
        """Return a memory with a new cache.

        Raises:
            ConfigError: a budget below 0.

        >>> Memory.of(cache_bytes=1024).cache.num_bytes
        0
        """
        return cls(EncodingCache(cache_bytes), map_bytes)

    @classmethod
    def for_one_pass(cls) -> Memory:
        """Return a memory for images of which only masks are wanted, however many slices they have.

        The encodings of a few slices and of the references are held, and the maps at hand.

        >>> Memory.for_one_pass().keeps_maps
        False
        """
        return cls(EncodingCache(PASS_CACHE_BYTES), PASS_MAP_BYTES, keeps_maps=False)
