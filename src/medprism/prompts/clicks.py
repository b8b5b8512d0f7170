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
    labels, areas, top, left = _components(region)
    total = int(areas.sum())
    if total == 0:
        raise PromptError("a click cannot be drawn in an empty region; give at least one pixel")
    label = int(np.searchsorted(np.cumsum(areas), rng.integers(total), side="right"))
    component, top, left = _cut_out(labels == label, top, left)
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


def _largest_component(region: Mask2d) -> tuple[_Crop, int] | None:
    """Return the largest 4-connected component, cut out, and its area; None if there is none."""
    labels, areas, top, left = _components(region)
    area = int(areas.max(initial=0))
    if area == 0:
        return None
    tied = np.flatnonzero(areas == area)
    label = int(tied[0]) if tied.size == 1 else _first_in_raster_order(labels, tied)
    return _cut_out(labels == label, top, left), area


def _components(region: Mask2d) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return labels and areas of the 4-connected components in the region's box, and its corner.

    Label 0 is the background; its area is given as 0.
    """
    left, top, width, height = cv2.boundingRect(region.view(np.uint8))
    box = region[top : top + height, left : left + width]
    if box.size == 0:
        return np.zeros((0, 0), np.int32), np.zeros(1, np.int64), 0, 0
    # OpenCV's own statistics cost four times as much as the labels and one count.
    _, labels = cv2.connectedComponents(box.view(np.uint8), connectivity=4)
    areas = np.bincount(np.asarray(labels).ravel())
    areas[0] = 0
    return np.asarray(labels), areas, top, left


def _first_in_raster_order(labels: np.ndarray, candidates: np.ndarray) -> int:
    # The order of OpenCV's labels depends on its algorithm and thread count.
    flat = labels.ravel()
    chosen = np.zeros(int(flat.max()) + 1, bool)
    chosen[candidates] = True
    return int(flat[int(np.argmax(chosen[flat]))])


def _cut_out(component: Mask2d, top: int, left: int) -> _Crop:
    """Return a component without the empty rows and columns around it, and its new corner."""
    col, row, width, height = cv2.boundingRect(component.view(np.uint8))
    return component[row : row + height, col : col + width], top + row, left + col


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
