"""SAM 2 on images, with a checkpoint and the name of its configuration [Hiera]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError
from medprism.evaluation.bench.official.packages import OfficialOrder
from medprism.evaluation.bench.official.sessions import Asks, ClickedSession, in_colour
from medprism.evaluation.bench.official.weights import hash_files
from medprism.evaluation.cases import Target


@dataclass(frozen=True, eq=False)
class Sam2Weights:
    """A checkpoint file."""

    digest: str
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, order: OfficialOrder, known: ConceptTable) -> Sam2Weights:
        """Hash the checkpoint; clicks need no names, so `known` has no say.

        Raises:
            CheckpointError: it is no file.
        """
        if not order.weights.is_file():
            raise CheckpointError(
                f"{order.weights} is no file; name a checkpoint of SAM 2, such as "
                "sam2.1_hiera_tiny.pt"
            )
        digest = hash_files(order.weights.parent, [order.weights])
        return cls(digest, {"config": order.config})

    def knows(self, target: Target) -> bool:
        """Return True: whatever is on a slice can be clicked."""
        return True

    def session(self, runner: Asks, said: Mapping[str, Any]) -> ClickedSession:
        """Return a session."""
        return ClickedSession(runner, in_colour)
