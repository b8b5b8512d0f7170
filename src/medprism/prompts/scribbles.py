"""A simulated user's strokes: walks that keep to the deep parts of a region."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from medprism.core.prompt import Mask2d, Scribble
from medprism.prompts.clicks import largest_error
from medprism.prompts.components import Component, depth, draw_component, draw_inner_pixel

_TURNS: Final = tuple(math.radians(angle) for angle in (-54, -36, -18, 0, 18, 36, 54))
_AXES: Final = 8
_MAX_STEPS: Final = 40
_MAX_THICKNESS: Final = 3
# A walk is drawn to depth, to straightness and to chance, in this order of weight.
_STRAIGHTNESS: Final = 0.25
_CHANCE: Final = 0.15

_Point = tuple[float, float]


def draw_scribble(rng: np.random.Generator, region: Mask2d, is_positive: bool) -> Scribble:
    """Draw a smooth stroke inside a region.

    The stroke starts at an inner point and walks both ways, keeping away from the border where it
    can, so that it follows a vessel and crosses an organ. It is 1 to 3 pixels thick, and at most
    as long as the diagonal of the component's box, or 80 steps.

    Raises:
        PromptError: the region is empty.

    >>> region = np.zeros((20, 40), bool); region[4:13, 5:33] = True
    >>> stroke = draw_scribble(np.random.default_rng(1), region, True).mask
    >>> bool(stroke.any()), bool((stroke & ~region).any())
    (True, False)
    """
    component = draw_component(rng, region)
    stroke = _draw_stroke(rng, component)
    return Scribble(component.placed(stroke, _shape(region)), is_positive)


def draw_next_scribble(
    rng: np.random.Generator,
    mask: Bool[np.ndarray, "height width"],
    truth: Bool[np.ndarray, "height width"],
) -> Scribble | None:
    """Draw a stroke in the component that `next_click` would correct; None if nothing is wrong."""
    error = largest_error(mask, truth)
    if error is None:
        return None
    component, is_positive = error
    stroke = _draw_stroke(rng, component)
    return Scribble(component.placed(stroke, _shape(mask)), is_positive)


def _shape(plane: Mask2d) -> tuple[int, int]:
    return plane.shape[0], plane.shape[1]


def _draw_stroke(rng: np.random.Generator, component: Component) -> Mask2d:
    """Return a stroke on the component's box."""
    row, col = draw_inner_pixel(rng, component)
    distance = depth(component.mask)
    length = rng.uniform(0.15, 0.5) * math.hypot(*component.mask.shape)
    at = (float(row), float(col))
    heading = _draw_heading(rng, distance, at)
    one_way = _walk(rng, distance, at, heading, length)
    other_way = _walk(rng, distance, at, heading + math.pi, length)
    thickness = int(rng.integers(1, _MAX_THICKNESS + 1))
    # OpenCV draws no line through a single point, but a dot between a point and itself.
    points = [*reversed(other_way), at, at, *one_way]
    line = _draw_line(points, distance.shape, thickness)
    # In a region of a pixel or two OpenCV's rounding can miss it altogether.
    line[row, col] = True
    return np.asarray(line & component.mask)


def _draw_heading(rng: np.random.Generator, distance: np.ndarray, at: _Point) -> float:
    """Draw a first heading; where a region is narrow, one along it."""
    here = float(distance[int(at[0]), int(at[1])])
    angles = rng.uniform(0.0, 2 * math.pi) + np.arange(_AXES) * (math.pi / _AXES)
    # Far enough to leave a narrow region across it, on both sides.
    reach = np.array([-3.0, -1.5, 1.5, 3.0]) * here
    rows = np.rint(at[0] + reach * np.sin(angles)[:, None]).astype(np.int64)
    cols = np.rint(at[1] + reach * np.cos(angles)[:, None]).astype(np.int64)
    height, width = distance.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    found = distance[np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)]
    comfort = (np.minimum(found, here) * inside).sum(1) / here
    return float(angles[int(np.argmax(comfort + rng.uniform(0.0, 1.0, _AXES)))])


def _walk(
    rng: np.random.Generator,
    distance: np.ndarray,
    start: _Point,
    heading: float,
    length: float,
) -> list[_Point]:
    """Walk from a point until the length is used up or every way on leaves the region."""
    comfortable = rng.uniform(0.4, 1.0) * float(distance[int(start[0]), int(start[1])])
    chances = rng.uniform(0.0, _CHANCE, (_MAX_STEPS, len(_TURNS)))
    height, width = distance.shape
    points: list[_Point] = []
    (row, col), left, here = start, length, comfortable
    for chance in chances.tolist():
        # Half the depth, so that a step cannot leave the region; 1.5 leaves a pixel for sure.
        step = max(1.5, 0.5 * here)
        best: tuple[float, float, float, float, float] | None = None
        for turn, luck in zip(_TURNS, chance, strict=True):
            angle = heading + turn
            to_row, to_col = row + step * math.sin(angle), col + step * math.cos(angle)
            pixel = math.floor(to_row + 0.5), math.floor(to_col + 0.5)
            if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
                continue
            there = float(distance[pixel])
            comfort = min(there, comfortable) / comfortable
            score = comfort + luck - _STRAIGHTNESS * turn * turn
            if there > 0 and (best is None or score > best[0]):
                best = (score, to_row, to_col, angle, there)
        if best is None or left < step:
            break
        _, row, col, heading, here = best
        points.append((row, col))
        left -= step
    return points


def _draw_line(points: list[_Point], shape: tuple[int, ...], thickness: int) -> Mask2d:
    corners: Float64[np.ndarray, "points 2"] = np.asarray(points)[:, ::-1]
    canvas = np.zeros(shape, np.uint8)
    pixels = np.floor(corners + 0.5).astype(np.int32)
    cv2.polylines(canvas, [pixels], isClosed=False, color=1, thickness=thickness)
    return canvas.view(bool)
