"""One fixed set of label colours for indexed masks and overlays."""

from __future__ import annotations

import colorsys
from typing import Final

import numpy as np
from jaxtyping import UInt8

# Okabe and Ito (2008), distinct with every common colour blindness; black is the background.
_DISTINCT: Final = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_GOLDEN: Final = 0.6180339887498949


def _build() -> UInt8[np.ndarray, "256 3"]:
    colours = [(0, 0, 0), *_DISTINCT]
    hue = 0.0
    while len(colours) < 256:
        hue = (hue + _GOLDEN) % 1.0
        value = (1.0, 0.8, 0.6)[len(colours) % 3]
        saturation = (0.85, 0.5)[len(colours) % 2]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colour = (round(red * 255), round(green * 255), round(blue * 255))
        if colour not in colours:
            colours.append(colour)
    table = np.array(colours, dtype=np.uint8)
    table.setflags(write=False)
    return table


PALETTE: Final = _build()


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour (red, green, blue) of a label number; 0 is black.

    The first seven stay apart with every common colour blindness; further ones only differ.
    Numbers above 255 begin again at 1.

    >>> colour(1), colour(256) == colour(1)
    ((230, 159, 0), True)
    """
    row = 0 if number == 0 else (number - 1) % 255 + 1
    red, green, blue = (int(part) for part in PALETTE[row])
    return red, green, blue
