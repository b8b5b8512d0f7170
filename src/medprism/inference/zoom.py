"""Auto-zoom: where a small part of a slice matters, look at it again at a finer scale.

Pure geometry: which crop, what of the interactions lies in it, and how its result is pasted back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from medprism.core.errors import ConfigError
from medprism.core.prompt import Box, Click, Interaction, Interactions, Lasso, Scribble

Region = tuple[int, int, int, int]
Map = Float32[np.ndarray, "height width"]


@dataclass(frozen=True, kw_only=True)
class ZoomSettings:
    """When and how far to zoom.

    `largest_share`: zoom only where the region with its margin is shorter than this share of the
    slice's long side. `margin`: context on each side, as a share of the region's long side.
    `steps`: crop edges lie on a grid of this many steps along the slice's long side, so that a
    further click meets the same crop and its encoding.
    """

    largest_share: float = 0.45
    margin: float = 0.25
    steps: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.largest_share <= 1:
            raise ConfigError(f"largest share to zoom on {self.largest_share} must be in (0, 1]")
        if not 0 <= self.margin <= 4:
            raise ConfigError(f"zoom margin {self.margin} must be in 0..4")
        if not 2 <= self.steps <= 64:
            raise ConfigError(f"zoom grid of {self.steps} steps; it must have 2..64")


@dataclass(frozen=True)
class Crop:
    """A part of a slice: rows [top, bottom), columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def cut(
        self, plane: Shaped[np.ndarray, "height width *channels"]
    ) -> Shaped[np.ndarray, "crop_height crop_width *channels"]:
        """Return the part of a slice, as a view."""
        return plane[self.top : self.bottom, self.left : self.right]


def choose_crop(region: Region, shape: tuple[int, int], settings: ZoomSettings) -> Crop | None:
    """Return the crop to look at again, or None where the region is too large to gain by it.

    >>> choose_crop((100, 40, 120, 50), (512, 400), ZoomSettings())
    Crop(top=64, left=0, bottom=128, right=64)
    >>> choose_crop((100, 40, 400, 50), (512, 400), ZoomSettings()) is None
    True
    """
    if _side(region, settings) > settings.largest_share * max(shape):
        return None
    crop = surround(region, shape, settings)
    return None if crop.shape == shape else crop


def surround(region: Region, shape: tuple[int, int], settings: ZoomSettings) -> Crop:
    """Return a crop around a region with its margin: square where the slice allows it, on the grid.

    >>> surround((0, 0, 3, 2), (512, 400), ZoomSettings())
    Crop(top=0, left=0, bottom=64, right=64)
    """
    side = _side(region, settings)
    step = max(1, math.ceil(max(shape) / settings.steps))
    top, bottom = _span(region[0], region[2], side, shape[0], step)
    left, right = _span(region[1], region[3], side, shape[1], step)
    return Crop(top, left, bottom, right)


def positive_region(interactions: Interactions, mask_region: Region | None) -> Region | None:
    """Return the box around the found mask and everything that was marked as the structure.

    >>> positive_region(Interactions((Click(2, 9, True), Click(8, 1, False))), (4, 4, 6, 7))
    (2, 4, 6, 10)
    """
    regions = [_extent(item) for item in interactions.items if item.is_positive]
    if mask_region is not None:
        regions.append(mask_region)
    if not regions:
        return None
    tops, lefts, bottoms, rights = zip(*regions, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def into_crop(interactions: Interactions, crop: Crop) -> Interactions:
    """Return what lies in the crop, in its coordinates; what is cut by its edge is clipped.

    >>> into_crop(Interactions((Click(70, 5, True), Click(1, 5, False))), Crop(64, 0, 128, 64))
    Interactions(items=(Click(row=6, col=5, is_positive=True),))
    """
    moved = (_into_crop(item, crop) for item in interactions.items)
    return Interactions(tuple(item for item in moved if item is not None))


def paste(whole: Map, part: Float32[np.ndarray, "crop_height crop_width"], crop: Crop) -> Map:
    """Return a copy of `whole` with `part` in place of the crop."""
    pasted = whole.copy()
    crop.cut(pasted)[...] = part
    return pasted


def _side(region: Region, settings: ZoomSettings) -> int:
    long_side = max(region[2] - region[0], region[3] - region[1])
    return long_side + 2 * max(1, math.ceil(settings.margin * long_side))


def _span(start: int, stop: int, side: int, length: int, step: int) -> tuple[int, int]:
    """Return [start, stop) widened to `side`, moved into the slice and out to the grid."""
    first = max(0, min((start + stop - side) // 2, length - side))
    last = min(length, first + side)
    return first // step * step, min(length, -(-last // step) * step)


def _extent(item: Interaction) -> Region:
    match item:
        case Click(row=row, col=col):
            return row, col, row + 1, col + 1
        case Box(top=top, left=left, bottom=bottom, right=right):
            return top, left, bottom, right
        case Scribble(mask=mask) | Lasso(mask=mask):
            rows, cols = np.nonzero(mask)
            return int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1


def _into_crop(item: Interaction, crop: Crop) -> Interaction | None:
    height, width = crop.shape
    match item:
        case Click(row=row, col=col, is_positive=is_positive):
            row, col = row - crop.top, col - crop.left
            inside = 0 <= row < height and 0 <= col < width
            return Click(row, col, is_positive) if inside else None
        case Box(is_positive=is_positive):
            top, bottom = max(0, item.top - crop.top), min(height, item.bottom - crop.top)
            left, right = max(0, item.left - crop.left), min(width, item.right - crop.left)
            return (
                Box(top, left, bottom, right, is_positive)
                if top < bottom and left < right
                else None
            )
        case Scribble(mask=mask) | Lasso(mask=mask):
            part = crop.cut(mask)
            return type(item)(part.copy(), item.is_positive) if part.any() else None
