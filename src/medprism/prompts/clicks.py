"""Where a simulated user clicks next: into the largest error, well inside it.

The policy is that of the published evaluations: the larger of the largest false negative and the
largest false positive component, and in it the centroid of the inner part [KPrism, release].
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool

from medprism.core.errors import PromptError
from medprism.core.prompt import Click, Mask2d

# The inner part of a region: deeper than this share of its greatest depth.
INNER_SHARE: Final = 1.0 / 3.0

_Crop = tuple[Bool[np.ndarray, "crop_height crop_width"], int, int]


def next_click(
    mask: Bool[np.ndarray, "height width"], truth: Bool[np.ndarray, "height width"]
) -> Click | None:
    """Return the click that a user would make to correct `mask` towards `truth`.

    The larger of the largest 4-connected false negative (positive click) and false positive
    (negative click) is chosen; ties go to the false negative, then to the component that comes
    first in raster order. The click is the rounded centroid of the component's inner part, or the
    component pixel nearest to it if that one lies outside. None where nothing is wrong.

    >>> truth = np.zeros((8, 9), bool)
    >>> truth[1:4, 2:7] = True
    >>> next_click(np.zeros_like(truth), truth)
    Click(row=2, col=4, is_positive=True)
    >>> next_click(truth, truth) is None
    True
    """
    error = _largest_error(mask, truth)
    if error is None:
        return None
    (component, top, left), is_positive = error
    row, col = _central_pixel(component)
    return Click(top + row, left + col, is_positive)


def draw_next_click(
    rng: np.random.Generator,
    mask: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
) -> Click | None:
    """Draw a click uniformly in the inner part of the component that `next_click` corrects.

    A varied user for training: right about the error, not exact about its centre.
    """
    error = _largest_error(mask, truth)
    if error is None:
        return None
    (component, top, left), is_positive = error
    row, col = _draw_inner_pixel(rng, component)
    return Click(top + row, left + col, is_positive)


def draw_inner_click(rng: np.random.Generator, region: Mask2d, *, is_positive: bool) -> Click:
    """Draw a click well inside a region: a component by its area, then its inner part uniformly.

    Raises:
        PromptError: the region is empty.
    """
    count, labels, stats = _components(region)
    if count < 2:
        raise PromptError("a click cannot be drawn in an empty region; give at least one pixel")
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.int64)
    pixel = int(rng.integers(int(areas.sum())))
    label = 1 + int(np.searchsorted(np.cumsum(areas), pixel, side="right"))
    component, top, left = _crop(labels, stats, label)
    row, col = _draw_inner_pixel(rng, component)
    return Click(top + row, left + col, is_positive)


def depth(region: Mask2d) -> np.ndarray:
    """Return the distance of every pixel to the outside in pixels; image edges are outside.

    >>> depth(np.ones((3, 5), bool))[1].tolist()
    [1.0, 2.0, 2.0, 2.0, 1.0]
    """
    padded = cv2.copyMakeBorder(region.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5))[1:-1, 1:-1]


def inner_part(region: Mask2d) -> Mask2d:
    """Return the pixels deeper than a third of the greatest depth; never empty unless `region` is.

    >>> int(inner_part(np.ones((6, 12), bool)).sum())
    40
    """
    distance = depth(region)
    return np.asarray(distance > INNER_SHARE * float(distance.max(initial=0.0)))


def _largest_error(mask: Mask2d, truth: Mask2d) -> tuple[_Crop, bool] | None:
    """Return the component to correct, cut out, and whether it is missing from the mask."""
    missed = _largest_component(truth & ~mask)
    excess = _largest_component(mask & ~truth)
    if missed is not None and (excess is None or missed[1] >= excess[1]):
        return missed[0], True
    return None if excess is None else (excess[0], False)


def _components(region: Mask2d) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the number of labels with the background, the label map and OpenCV's statistics."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        region.view(np.uint8), connectivity=4
    )
    return count, np.asarray(labels), np.asarray(stats)


def _largest_component(region: Mask2d) -> tuple[_Crop, int] | None:
    """Return the largest 4-connected component, cut out, and its area; None if there is none."""
    count, labels, stats = _components(region)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    area = int(areas.max())
    tied = 1 + np.flatnonzero(areas == area)
    label = int(tied[0]) if tied.size == 1 else _first_in_raster_order(labels, tied)
    return _crop(labels, stats, label), area


def _first_in_raster_order(labels: np.ndarray, candidates: np.ndarray) -> int:
    # The order of OpenCV's labels depends on its algorithm and thread count.
    flat = labels.ravel()
    chosen = np.zeros(int(flat.max()) + 1, bool)
    chosen[candidates] = True
    return int(flat[int(np.argmax(chosen[flat]))])


def _crop(labels: np.ndarray, stats: np.ndarray, label: int) -> _Crop:
    left, top, width, height = (int(value) for value in stats[label, :4])
    return labels[top : top + height, left : left + width] == label, top, left


def _central_pixel(component: Mask2d) -> tuple[int, int]:
    moments = cv2.moments(inner_part(component).view(np.uint8), True)
    # Half up, not half to even: the click moves with the component.
    row = math.floor(moments["m01"] / moments["m00"] + 0.5)
    col = math.floor(moments["m10"] / moments["m00"] + 0.5)
    if component[row, col]:
        return row, col
    rows, cols = np.nonzero(component)
    nearest = int(np.argmin((rows - row) ** 2 + (cols - col) ** 2))
    return int(rows[nearest]), int(cols[nearest])


def _draw_inner_pixel(rng: np.random.Generator, component: Mask2d) -> tuple[int, int]:
    pixels = np.flatnonzero(inner_part(component))
    row, col = divmod(int(pixels[rng.integers(pixels.size)]), component.shape[1])
    return row, col
