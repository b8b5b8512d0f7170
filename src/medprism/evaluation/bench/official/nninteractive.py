"""nnInteractive with a folder of weights: a slice is a volume of one slice [nnInteractive]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError
from medprism.core.image import Image
from medprism.evaluation.bench.official.packages import OfficialOrder
from medprism.evaluation.bench.official.sessions import Asks, ClickedSession, in_grey
from medprism.evaluation.bench.official.weights import find_folds, hash_files, read_described
from medprism.evaluation.cases import Target


@dataclass(frozen=True, eq=False)
class NnInteractiveWeights:
    """A folder of weights, of which one fold is read."""

    digest: str
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, order: OfficialOrder, known: ConceptTable) -> NnInteractiveWeights:
        """Find the files of a folder; clicks need no names, so `known` has no say.

        Raises:
            CheckpointError: it is no such folder.
            ConfigError: several folds, and none was chosen.
        """
        folder = order.weights
        for name in ("dataset.json", "plans.json"):
            read_described(folder, name)
        folds = find_folds(folder, order.folds, order.checkpoint)
        if len(folds) > 1:
            raise ConfigError(
                f"{folder} has folds {', '.join(folds)}; nnInteractive runs one, choose it with "
                "--folds"
            )
        files = [*folder.glob("*.json"), folder / f"fold_{folds[0]}" / order.checkpoint]
        return cls(
            hash_files(folder, files), {"folds": list(folds), "checkpoint": order.checkpoint}
        )

    def knows(self, target: Target) -> bool:
        """Return True: whatever is on a slice can be clicked."""
        return True

    def session(self, runner: Asks, said: Mapping[str, Any]) -> ClickedSession:
        """Return a session."""
        return ClickedSession(runner, to_volume)


def to_volume(image: Image) -> Float32[np.ndarray, "1 1 height width"]:
    """Return a picture as (channel, slice, row, col) of intensities as they are.

    >>> to_volume(Image.from_array(np.zeros((4, 6), np.uint8))).shape
    (1, 1, 4, 6)
    """
    return np.ascontiguousarray(in_grey(image)[None, None])
