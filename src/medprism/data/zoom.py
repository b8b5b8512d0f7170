"""What a zoom looks at: the whole target, one connected piece of it, or a patch on it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool

from medprism.data.augment import Box

_WHOLE: Final = 0.5
_PIECE: Final = 0.75
_PATCH_SHARES: Final = (0.1, 0.35)


def whole_box(plane: Bool[np.ndarray, "height width"]) -> Box:
    """Return (top, left, bottom, right), half open, around a mask that is not empty.

    >>> mask = np.zeros((4, 5), bool); mask[1, 2:4] = True
    >>> whole_box(mask)
    (1, 2, 2, 4)
    """
    rows, cols = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def draw_zoom_box(rng: np.random.Generator, plane: Bool[np.ndarray, "height width"]) -> Box:
    """Draw what to zoom to: half the time the whole target, else a piece or a patch.

    Pieces and patches let targets that are spread over the image (nuclei, vessels) be seen large.
    """
    kind = rng.random()
    if kind < _WHOLE:
        return whole_box(plane)
    inside = np.flatnonzero(plane)
    row, col = divmod(int(inside[rng.integers(inside.size)]), plane.shape[1])
    if kind < _PIECE:
        return _piece_box(plane, row, col)
    half = max(1, round(rng.uniform(*_PATCH_SHARES) * max(plane.shape) / 2))
    return (
        max(0, row - half),
        max(0, col - half),
        min(plane.shape[0], row + half),
        min(plane.shape[1], col + half),
    )


def _piece_box(plane: Bool[np.ndarray, "height width"], row: int, col: int) -> Box:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(plane.view(np.uint8), connectivity=8)
    left, top, width, height = (int(v) for v in np.asarray(stats)[np.asarray(labels)[row, col], :4])
    return top, left, top + height, left + width
