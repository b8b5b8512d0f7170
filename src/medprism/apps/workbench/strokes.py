"""What is drawn with a pointer, as masks: lines with a width, closed outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from medprism.core.prompt import Mask2d

# Subpixel bits of OpenCV's drawing.
_SHIFT: Final = 4
_FAR: Final = 1e5


def draw_line(
    points: Sequence[tuple[float, float]], radius: float, shape: tuple[int, int]
) -> Mask2d:
    """Return the pixels within `radius` pixels of a line through (row, col) points.

    Parts outside the slice are cut off; radius 0 is a line one pixel wide.

    >>> int(draw_line([(2.0, 1.0), (2.0, 4.0)], 0.0, (5, 7)).sum())
    4
    """
    canvas = np.zeros(shape, np.uint8)
    line = _columns_first(points)
    thickness = max(1, round(2 * radius))
    if len(points) > 1:
        cv2.polylines(canvas, [np.rint(line).astype(np.int32)], False, 1, thickness)
    size = round(radius * (1 << _SHIFT))
    for x, y in np.rint(line * (1 << _SHIFT)).astype(np.int64).tolist():
        if radius < 1:
            _set(canvas, round(y / (1 << _SHIFT)), round(x / (1 << _SHIFT)))
        else:
            cv2.circle(canvas, (x, y), size, 1, cv2.FILLED, cv2.LINE_8, _SHIFT)
    return canvas.astype(bool)


def fill_outline(points: Sequence[tuple[float, float]], shape: tuple[int, int]) -> Mask2d:
    """Return the pixels inside a closed outline through (row, col) points, and those on it.

    >>> int(fill_outline([(1.0, 1.0), (1.0, 3.0), (3.0, 3.0), (3.0, 1.0)], (5, 7)).sum())
    9
    """
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(_columns_first(points)).astype(np.int32)], 1)
    return canvas.astype(bool)


def _columns_first(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return (x, y), as OpenCV wants them."""
    return np.clip(np.asarray(points, np.float64)[:, ::-1], -_FAR, _FAR)


def _set(canvas: np.ndarray, row: int, col: int) -> None:
    if 0 <= row < canvas.shape[0] and 0 <= col < canvas.shape[1]:
        canvas[row, col] = 1
