"""Every protocol there is, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medprism.evaluation.protocols import (
    INTERACTIVE,
    ONE_SHOT,
    REFINE_IN_CONTEXT,
    REFINE_SEMANTIC,
    SEMANTIC,
    Protocol,
    interactive,
    one_shot,
    refine_in_context,
    refine_semantic,
    semantic,
)
from medprism.evaluation.shots import (
    K_SHOT,
    K_SHOT_POSITIONS,
    REFERENCE_DRAWS,
    k_shot,
    k_shot_positions,
    reference_draws,
)

CATALOG: Final[Mapping[str, Protocol]] = {
    SEMANTIC: semantic,
    ONE_SHOT: one_shot,
    INTERACTIVE: interactive,
    REFINE_SEMANTIC: refine_semantic,
    REFINE_IN_CONTEXT: refine_in_context,
    K_SHOT: k_shot,
    K_SHOT_POSITIONS: k_shot_positions,
    REFERENCE_DRAWS: reference_draws,
}
"""They run in this order. An evaluation that names none runs `protocols.PROTOCOLS`."""
