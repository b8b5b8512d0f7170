"""Clicks as disks on a small grid: what both classical methods start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from medprism.core.prompt import Click, Mask2d


def distance_to(
    clicks: Sequence[Click], shape: tuple[int, int]
) -> Float64[np.ndarray, "height width"]:
    """Return the distance in pixels of every pixel to the nearest click; infinite without clicks.

    >>> distance_to([Click(0, 1, True)], (1, 4)).tolist()
    [[1.0, 0.0, 1.0, 2.0]]
    """
    nearest = np.full(shape, np.inf)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    for click in clicks:
        np.minimum(nearest, np.hypot(rows - click.row, cols - click.col), out=nearest)
    return nearest


def by_sign(clicks: Sequence[Click]) -> tuple[list[Click], list[Click]]:
    """Return the positive and the negative clicks."""
    return [c for c in clicks if c.is_positive], [c for c in clicks if not c.is_positive]


def frame_and_clicks(
    clicks: Sequence[Click], shape: tuple[int, int], disk: float
) -> tuple[Mask2d, Mask2d]:
    """Return seeds of foreground and background: disks about clicks, and the frame of the image.

    `disk` is their radius as a share of the long side. The frame is background except where a
    positive click touches it; of a positive and a negative click the nearer one counts.
    """
    positive, negative = by_sign(clicks)
    inside, outside = distance_to(positive, shape), distance_to(negative, shape)
    radius = disk * max(shape)
    foreground = (inside <= radius) & (inside < outside)
    frame = np.ones(shape, np.bool_)
    frame[1:-1, 1:-1] = False
    background = ((outside <= radius) & (outside <= inside)) | (frame & ~foreground)
    return foreground, background


@dataclass(frozen=True, eq=False)
class SmallScene:
    """An image shrunk to a limited long side (never enlarged), and the clicks on that grid."""

    image: UInt8[np.ndarray, "small_height small_width channels"]
    clicks: tuple[Click, ...]
    source: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the small grid."""
        return int(self.image.shape[0]), int(self.image.shape[1])

    def lift(self, inside: Float32[np.ndarray, "small_height small_width"]) -> Mask2d:
        """Bring a probability back to the image's own grid (bilinear) and cut at 0.5."""
        height, width = self.source
        whole = cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(whole).reshape(self.source) >= 0.5


def shrink(
    image: UInt8[np.ndarray, "height width channels"], clicks: Sequence[Click], long_side: int
) -> SmallScene:
    """Return the scene on a grid whose long side is at most `long_side`; areas are averaged."""
    source = (int(image.shape[0]), int(image.shape[1]))
    scale = min(1.0, long_side / max(source))
    height, width = (max(1, round(side * scale)) for side in source)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    moved = tuple(
        Click(
            _moved(click.row, source[0], height),
            _moved(click.col, source[1], width),
            click.is_positive,
        )
        for click in clicks
    )
    return SmallScene(np.asarray(small).reshape(height, width, image.shape[2]), moved, source)


def _moved(position: int, length: int, small: int) -> int:
    return min(small - 1, int((position + 0.5) * small / length))
