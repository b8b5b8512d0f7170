"""Phantom images: three structures of like brightness, told apart by their shape alone.

Which one is meant is in the request, never in the image. No shape is its own mirror image, none is
centred; canvases may be of any size from 48 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from medprism.core.randomness import counter_rng

# A thin hook, a solid drop, an open ring: outlines as (row, col) in units of the radius.
OUTLINES: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "hook": ((-1.3, -0.7), (-1.3, -0.4), (0.7, -0.4), (0.7, 1.0), (1.0, 1.0), (1.0, -0.7)),
    "drop": (
        (-1.2, 0.6),
        (-0.35, -0.55),
        (0.25, -0.8),
        (0.75, -0.45),
        (0.85, 0.2),
        (0.5, 0.7),
        (-0.3, 0.75),
    ),
    "ring": (
        (-0.3, 0.4),
        (-0.55, 0.0),
        (-0.4, -0.5),
        (0.1, -0.65),
        (0.5, -0.4),
        (0.6, 0.1),
        (0.6, 1.1),
        (0.95, 1.1),
        (1.0, 0.0),
        (0.75, -0.75),
        (0.15, -1.05),
        (-0.6, -0.85),
        (-0.95, -0.05),
        (-0.65, 0.6),
    ),
}
NAMES: Final = tuple(OUTLINES)

BACKGROUND, FOREGROUND, NOISE = 70.0, 165.0, 7.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """An image with one mask for each of `NAMES`, in their order."""

    image: UInt8[np.ndarray, "height width 3"]
    masks: tuple[Bool[np.ndarray, "height width"], ...]


def draw_phantom(number: int, height: int = 64, width: int = 64) -> Phantom:
    """Draw phantom number `number`; the same number gives the same bytes."""
    rng = counter_rng(number, height, width, "phantom")
    while True:
        masks = [_draw_structure(rng, name, height, width) for name in NAMES]
        grown = [cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) for mask in masks]
        if int(sum(int(mask.sum()) for mask in grown)) == int(np.maximum.reduce(grown).sum()):
            break
    shade = np.linspace(-12, 12, height)[:, None] * rng.uniform(-1, 1)
    image = BACKGROUND + shade + rng.normal(0, NOISE, (height, width))
    for mask in masks:
        image[mask] += FOREGROUND - BACKGROUND + rng.uniform(-5, 5)
    grey = np.clip(image, 0, 255).astype(np.uint8)
    return Phantom(np.repeat(grey[..., None], 3, axis=2), tuple(masks))


def _draw_structure(
    rng: np.random.Generator, name: str, height: int, width: int
) -> Bool[np.ndarray, "height width"]:
    """Draw one structure: turned by up to 20 degrees, somewhere, wholly inside."""
    radius = min(height, width) * rng.uniform(0.15, 0.18)
    angle = np.deg2rad(rng.uniform(-20, 20))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    outline = radius * np.array(OUTLINES[name]) @ turn.T
    low, high = outline.min(0), outline.max(0)
    centre = rng.uniform(1 - low, np.array([height, width]) - 2 - high)
    corners = np.rint(outline + centre).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.ascontiguousarray(corners[:, ::-1])], 1)
    return mask.astype(bool)
