"""A simulated user's boxes: loose ones around a structure, and ones that hold none of it."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from medprism.core.errors import ConfigError, PromptError
from medprism.core.prompt import Box, Mask2d, bounding_box
from medprism.prompts.components import depth, draw_component, draw_inner_pixel

# People box loosely: an edge may cut into the structure by this share of what it may stay away.
INWARD_SHARE: Final = 0.2


def draw_box(rng: np.random.Generator, truth: Mask2d, jitter: float) -> Box:
    """Draw a positive box around a structure, inside the image.

    Each edge leaves the tight box by up to `jitter` (0..1) times the side across it outwards, or
    a fifth of that inwards, uniformly; then edges are rounded outwards. A jitter of 0 gives the
    tight box.

    Raises:
        PromptError: the structure is empty.
        ConfigError: a jitter outside 0..1.

    >>> truth = np.zeros((20, 30), bool); truth[4:9, 10:22] = True
    >>> draw_box(np.random.default_rng(0), truth, 0.0)
    Box(top=4, left=10, bottom=9, right=22, is_positive=True)
    """
    if not 0.0 <= jitter <= 1.0:
        raise ConfigError(f"box jitter {jitter} must lie in 0..1 (shares of the box's side)")
    tight = bounding_box([truth])
    if tight is None:
        raise PromptError("a box cannot be drawn around an empty structure; give one with pixels")
    top, left, bottom, right = tight
    moves = jitter * rng.uniform(-INWARD_SHARE, 1.0, 4)
    rows, cols = bottom - top, right - left
    return Box(
        top=max(0, math.floor(top - moves[0] * rows)),
        left=max(0, math.floor(left - moves[1] * cols)),
        bottom=min(truth.shape[0], math.ceil(bottom + moves[2] * rows)),
        right=min(truth.shape[1], math.ceil(right + moves[3] * cols)),
        is_positive=True,
    )


def draw_excluding_box(rng: np.random.Generator, region: Mask2d) -> Box:
    """Draw a negative box that lies wholly inside a region of background.

    Its half diagonal is at most the depth of the point it is centred on.

    Raises:
        PromptError: the region is empty.

    >>> region = np.zeros((40, 60), bool); region[5:35, 8:50] = True
    >>> box = draw_excluding_box(np.random.default_rng(0), region)
    >>> bool(region[box.top : box.bottom, box.left : box.right].all()), box.is_positive
    (True, False)
    """
    component = draw_component(rng, region)
    row, col = draw_inner_pixel(rng, component)
    # OpenCV's 5x5 distance may exceed the true one by 2 %; half a pixel more is rounding.
    reach = 0.97 * float(depth(component.mask)[row, col]) - 0.5
    angle = rng.uniform(0.2, math.pi / 2 - 0.2)
    rows, cols = int(reach * math.sin(angle)), int(reach * math.cos(angle))
    row, col = row + component.top, col + component.left
    return Box(row - rows, col - cols, row + rows + 1, col + cols + 1, is_positive=False)
