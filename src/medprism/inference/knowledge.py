"""Knowledge: everything that is said about a structure before the image is looked at, as a value.

What a batch run, a script or the command line asks of a session in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import LabelError
from medprism.core.image import Image
from medprism.core.progress import Progress
from medprism.inference.session import DEFAULT_LABEL, Session


@dataclass(frozen=True)
class PointMark:
    """A click at (row, col) or (slice, row, col), or with `is_world` at (x, y, z) in mm (RAS+)."""

    position: tuple[int, ...] | tuple[float, ...]
    is_positive: bool
    is_world: bool = False


@dataclass(frozen=True)
class BoxMark:
    """A box of half-open ranges, one an axis; on a volume the first range is one slice."""

    ranges: tuple[tuple[int, int], ...]
    is_positive: bool


@dataclass(frozen=True, eq=False)
class Example:
    """An image with a finished mask: paths, or values in memory."""

    image: Path | Image
    mask: Path | Bool[np.ndarray, "..."]


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowledge:
    """Classes, examples and marks, in any combination.

    Examples and marks are about one label: `label`, or else the class if just one is asked for.
    With `resample` masks of examples that lie on other grids are brought onto their images' grids.
    """

    classes: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    boxes: tuple[BoxMark, ...] = ()
    clicks: tuple[PointMark, ...] = ()
    label: str | None = None
    resample: bool = False

    def __post_init__(self) -> None:
        if not (self.classes or self.examples or self.has_marks):
            raise LabelError(
                "nothing says what to segment; name classes, give references, or click"
            )
        if self.label is None and len(self.classes) > 1 and (self.examples or self.has_marks):
            raise LabelError(
                f"{len(self.classes)} classes are asked for, and the references and clicks do not "
                "say which of them they are about; name it with a label"
            )

    @property
    def has_marks(self) -> bool:
        """Whether anything lies at a place, and so belongs to one image only."""
        return bool(self.boxes or self.clicks)

    @property
    def subject(self) -> str:
        """The label that examples and marks are about.

        >>> Knowledge(classes=("liver",), clicks=(PointMark((3, 4), True),)).subject
        'liver'
        """
        return self.label or (self.classes[0] if len(self.classes) == 1 else DEFAULT_LABEL)


def teach(session: Session, knowledge: Knowledge) -> None:
    """Hand over the examples, and refuse classes that the model does not know.

    Done once for any number of images.

    Raises:
        LabelError: an unknown class; near ones are listed.
        ReferencePairError: an example of another size, or without foreground.
    """
    for name in knowledge.classes:
        session.model.concepts.row(name)
    if knowledge.examples:
        session.set_references(
            [one.image for one in knowledge.examples],
            [one.mask for one in knowledge.examples],
            label=_own_name(session, knowledge),
            resample=knowledge.resample,
        )


def ask(session: Session, knowledge: Knowledge, progress: Progress | None = None) -> None:
    """Segment the open image: classes and examples first, then each mark refines what is there.

    Raises:
        PromptError: a mark outside the image.
        LabelError: an unknown class.
        CancelledError: the progress asked to stop.
    """
    subject = _own_name(session, knowledge)
    if knowledge.classes or knowledge.examples:
        session.predict(
            labels=[subject] if knowledge.examples else None,
            classes=list(knowledge.classes) or None,
            progress=progress,
        )
    for box in knowledge.boxes:
        session.add_bbox_interaction(box.ranges, box.is_positive, label=subject)
    for click in knowledge.clicks:
        session.add_point_interaction(
            click.position, click.is_positive, label=subject, world=click.is_world
        )


def _own_name(session: Session, knowledge: Knowledge) -> str:
    """Return the subject by the name its class has in the model, if it is one that is asked for."""
    concepts = session.model.concepts
    asked = {concepts.names[concepts.row(name)] for name in knowledge.classes}
    try:
        canonical = concepts.names[concepts.row(knowledge.subject)]
    except LabelError:
        return knowledge.subject
    return canonical if canonical in asked else knowledge.subject
