"""Where a simulated user clicks next: into the largest error, well inside it.

The policy is that of the published evaluations: the larger of the largest false negative and the
largest false positive component, and in it the centroid of the inner part [KPrism, release].
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool

from medprism.core.prompt import Click, Mask2d
from medprism.prompts.components import (
    Component,
    draw_component,
    draw_inner_pixel,
    inner_part,
    largest_component,
)


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
    error = largest_error(mask, truth)
    if error is None:
        return None
    component, is_positive = error
    row, col = _central_pixel(component.mask)
    return Click(component.top + row, component.left + col, is_positive)


def draw_next_click(
    rng: np.random.Generator,
    mask: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
) -> Click | None:
    """Draw a click uniformly in the inner part of the component that `next_click` corrects.

    A varied user for training: right about the error, not exact about its centre.
    """
    error = largest_error(mask, truth)
    if error is None:
        return None
    component, is_positive = error
    row, col = draw_inner_pixel(rng, component)
    return Click(component.top + row, component.left + col, is_positive)


def draw_unsteady_click(
    rng: np.random.Generator,
    mask: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
    spread: float,
) -> Click | None:
    """Draw a click as `draw_next_click`, then move it as an unsteady hand does.

    Row and column are moved by normal draws with a standard deviation of `spread` pixels and kept
    inside the plane. The click keeps its sign wherever it lands, so it may say what is wrong.

    >>> truth = np.zeros((60, 80), bool); truth[20:40, 30:50] = True
    >>> rng = np.random.default_rng(0)
    >>> draw_unsteady_click(rng, np.zeros_like(truth), truth, 3.0)
    Click(row=34, col=47, is_positive=True)
    """
    click = draw_next_click(rng, mask, truth)
    if click is None:
        return None
    height, width = truth.shape
    row, col = np.rint(np.array([click.row, click.col]) + rng.normal(0.0, spread, 2)).astype(int)
    return Click(
        int(np.clip(row, 0, height - 1)), int(np.clip(col, 0, width - 1)), click.is_positive
    )


def draw_inner_click(rng: np.random.Generator, region: Mask2d, *, is_positive: bool) -> Click:
    """Draw a click well inside a region: a component by its area, then its inner part uniformly.

    Raises:
        PromptError: the region is empty.

    >>> region = np.zeros((9, 12), bool); region[4, 7] = True
    >>> draw_inner_click(np.random.default_rng(0), region, is_positive=True)
    Click(row=4, col=7, is_positive=True)
    """
    component = draw_component(rng, region)
    row, col = draw_inner_pixel(rng, component)
    return Click(component.top + row, component.left + col, is_positive)


def largest_error(
    mask: Bool[np.ndarray, "height width"], truth: Bool[np.ndarray, "height width"]
) -> tuple[Component, bool] | None:
    """Return the component that `next_click` corrects, and whether the mask misses it.

    >>> truth = np.array([[True, False, True, True]])
    >>> component, is_missed = largest_error(np.zeros_like(truth), truth)
    >>> component.left, component.mask.shape, is_missed
    (2, (1, 2), True)
    """
    missed = largest_component(truth & ~mask)
    excess = largest_component(mask & ~truth)
    if missed is not None and (excess is None or missed[1] >= excess[1]):
        return missed[0], True
    return None if excess is None else (excess[0], False)


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
