"""Pictures for people: a slice with its labels and clicks drawn over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medprism.core.errors import GeometryError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.core.prompt import Click, check_interaction
from medprism.io.palette import colour

Canvas = Float32[np.ndarray, "height width 3"]
Mask2d = Bool[np.ndarray, "height width"]

_FILL: Final = 0.35
# Pixels of a contour.
CONTOUR: Final = 2
_POSITIVE: Final = (0, 200, 60)
_NEGATIVE: Final = (220, 30, 30)
_HALO: Final = (255, 255, 255)


def overlay(
    image: Image, planes: Labels, slice_index: int, clicks: Sequence[Click] = ()
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw labels (half-transparent, outlined) and clicks over one slice, as RGB.

    Intensities are windowed by the image's rule (`choose_rule`), over the whole volume. Labels take
    the palette's colours in their order, later ones above earlier ones; positive clicks are a green
    plus, negative clicks a red minus.

    Args:
        image: the picture or volume.
        planes: labels in the image's shape.
        slice_index: the slice; 0 for a picture.
        clicks: clicks on this slice.

    Raises:
        GeometryError: there is no such slice, or the labels have another shape.
        PromptError: a click lies outside the slice.
    """
    if not 0 <= slice_index < image.num_slices:
        raise GeometryError(
            f"no slice {slice_index}; the image has slices 0 to {image.num_slices - 1}"
        )
    canvas = _windowed(image, slice_index)
    for number, (_, plane) in enumerate(planes, start=1):
        _paint(canvas, image.to_stack(plane)[slice_index], colour(number))
    for click in clicks:
        check_interaction(click, (canvas.shape[0], canvas.shape[1]))
        _mark(canvas, click)
    return np.asarray(np.rint(canvas), dtype=np.uint8)


def outline(
    image: Image,
    masks: Sequence[tuple[Mask2d, tuple[int, int, int]]],
    clicks: Sequence[Click] = (),
    *,
    long_side: int,
) -> UInt8[np.ndarray, "rows cols 3"]:
    """Draw masks as contours, each with its colour, and clicks over a picture, as RGB.

    The picture is brought to `long_side` pixels first, so that contours are one width on small and
    large ones. A contour lies inside its mask; later ones lie above earlier ones.

    Raises:
        GeometryError: a mask of another shape than the picture's.
        PromptError: a click lies outside the picture.
    """
    plain = _windowed(image, 0)
    height, width = plain.shape[:2]
    factor = long_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    canvas = np.asarray(cv2.resize(plain, size, interpolation=smooth), dtype=np.float32)
    for mask, ink in masks:
        plane = image.to_stack(mask)[0].astype(np.uint8)
        large = cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
        canvas[_rim(large, CONTOUR)] = np.asarray(ink, dtype=np.float32)
    for click in clicks:
        check_interaction(click, (height, width))
        row, col = (int((at + 0.5) * factor) for at in (click.row, click.col))
        _mark(canvas, Click(min(row, size[1] - 1), min(col, size[0] - 1), click.is_positive))
    return np.asarray(np.rint(canvas), dtype=np.uint8)


def _windowed(image: Image, slice_index: int) -> Canvas:
    bounds = choose_rule(image).bounds(image)
    shown = to_eight_bit_range(image.voxels[slice_index], bounds)
    return np.asarray(shown if image.is_rgb else np.repeat(shown, 3, axis=2))


def _paint(canvas: Canvas, mask: Mask2d, rgb: tuple[int, int, int]) -> None:
    ink = np.asarray(rgb, dtype=np.float32)
    canvas[mask] = (1 - _FILL) * canvas[mask] + _FILL * ink
    canvas[_rim(mask, 1)] = ink


def _rim(mask: Mask2d, width: int) -> Mask2d:
    """Return the pixels of a mask that are at most so many from what is not in it."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inside = cv2.erode(mask.astype(np.uint8), cross, iterations=width)
    return np.asarray(mask & (inside == 0))


def _mark(canvas: Canvas, click: Click) -> None:
    """Draw a plus or a minus with a white rim that keeps it visible on any ground."""
    arm = max(2, round(min(canvas.shape[:2]) / 50))
    half = max(0, round(arm / 4))
    rgb = _POSITIVE if click.is_positive else _NEGATIVE
    for rim, ink in ((1, _HALO), (0, rgb)):
        _bar(canvas, click, half + rim, arm + rim, ink)
        if click.is_positive:
            _bar(canvas, click, arm + rim, half + rim, ink)


def _bar(canvas: Canvas, click: Click, rows: int, cols: int, rgb: tuple[int, int, int]) -> None:
    top, left = max(0, click.row - rows), max(0, click.col - cols)
    canvas[top : click.row + rows + 1, left : click.col + cols + 1] = rgb
