"""The list of rivals: a name, what it stands for, how it is built and how its batches ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from medprism.models.kprism.model import KPrism
from medprism.models.zoo.slices.clip_driven import ClipDriven
from medprism.models.zoo.slices.early_fusion import EarlyFusion
from medprism.models.zoo.slices.frame import Rival, RivalConfig
from medprism.models.zoo.slices.hermes import Hermes
from medprism.models.zoo.slices.late_fusion import LateFusion
from medprism.models.zoo.slices.multiverseg import MultiverSeg
from medprism.models.zoo.slices.sam_style import SamStyle
from medprism.models.zoo.slices.tyche import Tyche
from medprism.models.zoo.slices.unetr import Unetr
from medprism.models.zoo.slices.uniseg import UniSeg
from medprism.models.zoo.slices.universeg import UniverSegRival
from medprism.models.zoo.slices.verse import Verse


@dataclass(frozen=True)
class Entry:
    """A rival: `title` names the publication it is in the style of.

    `odds` are those of batches asking by class, by references, by marks alone. `needs` is a package
    that medprism does not bring.
    """

    title: str
    build: Callable[[RivalConfig], Rival | KPrism]
    odds: tuple[float, float, float]
    needs: str | None = None


BY_CLASS: Final = (1.0, 0.0, 0.0)
BY_REFERENCES: Final = (0.0, 1.0, 0.0)
BY_MARKS: Final = (0.0, 0.0, 1.0)
# K-Prism's 3 : 3 : 4 without the references.
BY_CLASS_AND_MARKS: Final = (0.43, 0.0, 0.57)
BY_REFERENCES_AND_MARKS: Final = (0.0, 0.5, 0.5)

RIVALS: Final[dict[str, Entry]] = {
    "clip-driven": Entry("CLIP-driven-style", ClipDriven, BY_CLASS),
    "early-fusion": Entry("nnInteractive-style", EarlyFusion, BY_MARKS),
    "hermes": Entry("Hermes-style", Hermes, BY_CLASS),
    "late-fusion": Entry("SegNext-style", LateFusion, BY_MARKS),
    "multiverseg": Entry("MultiverSeg-style", MultiverSeg, BY_REFERENCES_AND_MARKS),
    "sam-style": Entry("SAM-style", SamStyle, BY_MARKS),
    "tyche": Entry("Tyche-style", Tyche, BY_REFERENCES),
    "unetr": Entry("UNETR", Unetr, BY_CLASS, needs="monai"),
    "uniseg": Entry("UniSeg-style", UniSeg, BY_CLASS),
    "universeg": Entry("UniverSeg-style", UniverSegRival, BY_REFERENCES),
    "verse": Entry("Verse-style", Verse, BY_CLASS_AND_MARKS),
}
