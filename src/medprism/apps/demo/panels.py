"""One picture of the three kinds of knowledge, side by side with captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Picture = UInt8[np.ndarray, "height width 3"]
Page = UInt8[np.ndarray, "page_height page_width 3"]

CAPTIONS: Final = {"class": "by class", "reference": "by example", "clicks": "by clicks"}
SCALE: Final = 2
BAND: Final = 34
GAP: Final = 8


def compose(panels: Mapping[str, Picture]) -> Page:
    """Return the panels that are there, enlarged, in a fixed order, each under its caption."""
    drawn = [_captioned(panels[name], text) for name, text in CAPTIONS.items() if name in panels]
    height = max(picture.shape[0] for picture in drawn)
    parts: list[Page] = []
    for picture in drawn:
        below = height - picture.shape[0]
        parts.append(np.pad(picture, ((0, below), (0, GAP), (0, 0)), constant_values=255))
    return np.concatenate(parts, axis=1)[:, :-GAP]


def _captioned(picture: Picture, text: str) -> Page:
    height, width = picture.shape[:2]
    enlarged = Image.fromarray(picture).resize(
        (width * SCALE, height * SCALE), Image.Resampling.LANCZOS
    )
    canvas = Image.new("RGB", (enlarged.width, enlarged.height + BAND), "white")
    canvas.paste(enlarged, (0, BAND))
    pen = ImageDraw.Draw(canvas)
    pen.text(
        (enlarged.width / 2, BAND / 2),
        text,
        fill="black",
        anchor="mm",
        font=ImageFont.load_default(size=20),
    )
    return np.asarray(canvas)
