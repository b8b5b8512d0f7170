"""A simulated user's lassos: loose outlines around a structure, and ones that hold none of it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float64

from medprism.core.errors import ConfigError, PromptError
from medprism.core.prompt import Lasso, Mask2d
from medprism.prompts.components import depth, draw_component, draw_inner_pixel

_HARMONICS: Final = 3
_OUTLINE_POINTS: Final = 64


def draw_lasso(rng: np.random.Generator, truth: Mask2d, slack: float) -> Lasso:
    """Draw a positive lasso, one closed wavy outline that contains the whole structure.

    The convex hull, one pixel wider, is pushed away from its centre by a factor that swings
    smoothly between 1 and 1 + `slack` around it; what leaves the image is cut off.

    Raises:
        PromptError: the structure is empty.
        ConfigError: a negative slack.

    >>> truth = np.zeros((30, 40), bool); truth[8:13, 10:22] = True
    >>> lasso = draw_lasso(np.random.default_rng(0), truth, 0.3).mask
    >>> bool((truth & ~lasso).any()), bool(60 < lasso.sum() < 400)
    (False, True)
    """
    if not slack >= 0.0:
        raise ConfigError(f"lasso slack {slack} must be at least 0 (a share of the size)")
    if not truth.any():
        raise PromptError("a lasso cannot be drawn around an empty structure; give pixels")
    corners = _wide_hull(truth)
    centre = corners.mean(0)
    outline = _resample(corners) - centre
    factor = 1.0 + slack * _wave(rng, np.arctan2(outline[:, 1], outline[:, 0]))
    # Rounding moves the outline by less than the pixel that the hull was widened by.
    pixels = np.rint(centre + outline * factor[:, None]).astype(np.int32)
    inside = np.zeros(truth.shape, np.uint8)
    cv2.fillPoly(inside, [pixels], 1)
    return Lasso(inside.view(bool), is_positive=True)


def draw_excluding_lasso(rng: np.random.Generator, region: Mask2d) -> Lasso:
    """Draw a negative lasso inside a region of background.

    It is the part of one component that is deeper than a drawn share (0 to 60 %) of the depth at
    a drawn inner point, as far as it hangs together with that point.

    Raises:
        PromptError: the region is empty.

    >>> region = np.zeros((40, 60), bool); region[5:35, 8:50] = True
    >>> lasso = draw_excluding_lasso(np.random.default_rng(0), region)
    >>> bool((lasso.mask & ~region).any()), lasso.is_positive
    (False, False)
    """
    component = draw_component(rng, region)
    seed = draw_inner_pixel(rng, component)
    distance = depth(component.mask)
    deep = distance > rng.uniform(0.0, 0.6) * float(distance[seed])
    _, labels = cv2.connectedComponents(deep.view(np.uint8), connectivity=4)
    part = np.asarray(labels) == labels[seed]
    shape = (region.shape[0], region.shape[1])
    return Lasso(component.placed(part, shape), is_positive=False)


def _wide_hull(truth: Mask2d) -> Float64[np.ndarray, "corners 2"]:
    """Return the corners (col, row) of the convex hull of a mask grown by one pixel."""
    room = cv2.copyMakeBorder(truth.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    grown = cv2.dilate(room, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = np.asarray(cv2.convexHull(np.concatenate(contours)))
    return hull.reshape(-1, 2).astype(np.float64) - 1.0


def _resample(
    corners: Float64[np.ndarray, "corners 2"],
) -> Float64[np.ndarray, "points 2"]:
    """Return the corners of a closed outline and points spread evenly between them."""
    closed = np.concatenate([corners, corners[:1]])
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    even = np.linspace(0.0, travelled[-1], _OUTLINE_POINTS, endpoint=False)
    stops = np.union1d(travelled[:-1], even)
    return np.stack([np.interp(stops, travelled, closed[:, axis]) for axis in (0, 1)], axis=1)


def _wave(
    rng: np.random.Generator, angle: Float64[np.ndarray, " points"]
) -> Float64[np.ndarray, " points"]:
    """Return a smooth function of the angle with values in 0..1."""
    order = np.arange(1, _HARMONICS + 1)
    weight = rng.uniform(0.2, 1.0, _HARMONICS) / order
    phase = rng.uniform(0.0, 2 * np.pi, _HARMONICS)
    waves = np.cos(order[:, None] * angle + phase[:, None])
    total: Float64[np.ndarray, " points"] = weight @ waves / weight.sum()
    return 0.5 + 0.5 * total
