"""What the protocols ask: a `Session`, or whatever stands in for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from medprism.core.concepts import ConceptTable
from medprism.core.image import Image
from medprism.core.prompt import Mask2d


@runtime_checkable
class Knows(Protocol):
    """What a model says about itself."""

    @property
    def concepts(self) -> ConceptTable:
        """The classes that it can be asked for by name."""


@runtime_checkable
class Found(Protocol):
    """What was found for one label."""

    @property
    def mask(self) -> Mask2d:
        """Where it is."""

    @property
    def presence(self) -> float | None:
        """Whether it is there at all, in 0..1; None where the model gives no such score."""


@runtime_checkable
class Answerer(Protocol):
    """The part of `Session` that the protocols use, on images of one slice."""

    @property
    def model(self) -> Knows:
        """The model that answers."""

    def set_image(self, image: Image) -> None:
        """Open an image; nothing is left of what was said about the one before."""

    def set_references(self, images: Sequence[Image], masks: Sequence[Mask2d], label: str) -> None:
        """Make these pairs the examples of a label."""

    def predict(
        self, labels: Sequence[str] | None = None, classes: Sequence[str] | None = None
    ) -> Mapping[str, Found]:
        """Segment classes, or labels with examples."""

    def add_point_interaction(
        self, coordinates: tuple[int, int], include_interaction: bool, label: str
    ) -> Mask2d:
        """Click at (row, col) and return the label's mask."""

    def presence(self, label: str) -> float | None:
        """Return the score that a label is there at all; None without one."""
