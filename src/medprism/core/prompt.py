"""What a person says about one slice: clicks, scribbles, boxes, lassos. Values, no behaviour.

Positions are (row, col) on the slice's own grid; `is_positive` means "belongs to the structure".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import PromptError

Mask2d = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Click:
    """One point; positive clicks are inside the structure."""

    row: int
    col: int
    is_positive: bool


@dataclass(frozen=True, eq=False)
class Scribble:
    """A free stroke, as the mask of the pixels it covers."""

    mask: Mask2d
    is_positive: bool


@dataclass(frozen=True)
class Box:
    """A rectangle, half open: rows [top, bottom), columns [left, right).

    A positive box encloses the structure; a negative box holds none of it.
    """

    top: int
    left: int
    bottom: int
    right: int
    is_positive: bool


@dataclass(frozen=True, eq=False)
class Lasso:
    """A closed free outline, as the mask of its inside; the same meaning as a box."""

    mask: Mask2d
    is_positive: bool


Interaction: TypeAlias = Click | Scribble | Box | Lasso


@dataclass(frozen=True)
class Interactions:
    """All that was said about one structure on one slice, in the order it was said."""

    items: tuple[Interaction, ...] = field(default=())

    def with_added(self, interaction: Interaction) -> Interactions:
        """Return the same with one more at the end."""
        return Interactions((*self.items, interaction))

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks alone."""
        return tuple(item for item in self.items if isinstance(item, Click))

    def __bool__(self) -> bool:
        return bool(self.items)


def check_interaction(interaction: Interaction, shape: tuple[int, int]) -> None:
    """Refuse an interaction that does not lie on a slice of this shape.

    Raises:
        PromptError: out of range, empty, or a mask of another shape.
    """
    height, width = shape
    match interaction:
        case Click(row=row, col=col):
            if not (0 <= row < height and 0 <= col < width):
                raise PromptError(
                    f"click ({row}, {col}) lies outside the slice of {height} x {width}; "
                    f"row must be 0..{height - 1} and col 0..{width - 1}"
                )
        case Box(top=top, left=left, bottom=bottom, right=right):
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise PromptError(
                    f"box rows [{top}, {bottom}) columns [{left}, {right}) must be non-empty and "
                    f"inside the slice of {height} x {width}"
                )
        case Scribble(mask=mask) | Lasso(mask=mask):
            kind = type(interaction).__name__.lower()
            if mask.shape != shape:
                raise PromptError(f"{kind} mask has shape {mask.shape}, the slice has {shape}")
            if not mask.any():
                raise PromptError(f"{kind} covers no pixel; draw at least one")


def bounding_box(masks: Sequence[Mask2d]) -> tuple[int, int, int, int] | None:
    """Return (top, left, bottom, right), half open, around all masks.

    None if there is no mask or all are empty.

    >>> mask = np.zeros((4, 5), bool); mask[1, 2:4] = True
    >>> bounding_box([mask])
    (1, 2, 2, 4)
    """
    if not masks:
        return None
    union = np.logical_or.reduce(masks)
    rows, cols = np.flatnonzero(union.any(1)), np.flatnonzero(union.any(0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1
