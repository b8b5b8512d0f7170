"""The list of rivals: a name, what it stands for, how it is built and how its batches ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from medprism.models.zoo.slices.clip_driven import ClipDriven
from medprism.models.zoo.slices.early_fusion import EarlyFusion
from medprism.models.zoo.slices.frame import Rival, RivalConfig


@dataclass(frozen=True)
class Entry:
    """A rival: `title` names the publication it is in the style of.

    `odds` are those of batches asking by class, by references, by marks alone.
    """

    title: str
    build: Callable[[RivalConfig], Rival]
    odds: tuple[float, float, float]


BY_CLASS: Final = (1.0, 0.0, 0.0)
BY_REFERENCES: Final = (0.0, 1.0, 0.0)
BY_MARKS: Final = (0.0, 0.0, 1.0)

RIVALS: Final[dict[str, Entry]] = {
    "clip-driven": Entry("CLIP-driven-style", ClipDriven, BY_CLASS),
    "early-fusion": Entry("nnInteractive-style", EarlyFusion, BY_MARKS),
}
