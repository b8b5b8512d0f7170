"""A checkpoint that is ready to segment: the network and everything inference needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medprism.core.concepts import ConceptTable
from medprism.models.segmenter import Segmenter


@dataclass(frozen=True)
class LoadedModel:
    """What `engines.loading.load` returns and a session drives.

    `name` loads the same model again. `long_side` is the size in pixels that the long side of a
    slice is brought to. `weights_hash` identifies the stored weights, `engine` and `threads` how
    they are run; the three decide whether a prompt log can be replayed bit for bit.
    `engine_reason` says in one sentence why this engine was taken.
    """

    name: str
    segmenter: Segmenter
    concepts: ConceptTable
    long_side: int
    weights_hash: str
    engine: str
    threads: int
    card: dict[str, Any]
    engine_reason: str = ""
