"""Sheets of pictures with captions, for people: pictures in a row, rows below one another."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Picture = UInt8[np.ndarray, "height width 3"]
Page = UInt8[np.ndarray, "page_height page_width 3"]
# Of a sequence, whose members may differ in size.
AnySize = UInt8[np.ndarray, "_ _ 3"]

WHITE: Final = 255
# Light enough for black text, dark enough to be told from the page.
EMPTY: Final = 228
SMALLEST: Final = 8
CUT: Final = "..."

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def enlarged(picture: Picture, scale: int) -> Page:
    """Return a picture that many times as large, smoothly."""
    height, width = picture.shape[:2]
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def captioned(
    picture: Picture, *, above: str = "", below: str = "", band: int = 34, size: int = 20
) -> Page:
    """Return a picture with a line of text in a white band above it, below it, or both.

    A line that is too wide is written smaller, and cut short where that is not enough. `band` and
    `size` are pixels.
    """
    drawn = Image.fromarray(picture)
    top, bottom = (band if text else 0 for text in (above, below))
    canvas = Image.new("RGB", (drawn.width, drawn.height + top + bottom), "white")
    canvas.paste(drawn, (0, top))
    pen = ImageDraw.Draw(canvas)
    for text, middle in ((above, band / 2), (below, top + drawn.height + band / 2)):
        line, font = _fitting(text, drawn.width, size)
        pen.text((drawn.width / 2, middle), line, fill="black", anchor="mm", font=font)
    return np.asarray(canvas)


def centred(picture: Picture, width: int) -> Page:
    """Return a picture in the middle of so many columns, white beside it; it must not be wider.

    >>> centred(np.zeros((1, 2, 3), np.uint8), 5)[0, :, 0].tolist()
    [255, 0, 0, 255, 255]
    """
    left = (width - picture.shape[1]) // 2
    around = ((0, 0), (left, width - picture.shape[1] - left), (0, 0))
    return np.pad(picture, around, constant_values=WHITE)


def text_cell(text: str, *, height: int, width: int, size: int = 14, ground: int = EMPTY) -> Page:
    """Return a cell without a picture: lines of text on grey (or another ground), wrapped."""
    canvas = Image.new("RGB", (width, height), (ground, ground, ground))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=size)
    letters = max(1, int(width / (0.62 * size)))
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, letters)]
    middle = (width / 2, height / 2)
    pen.multiline_text(
        middle, "\n".join(lines), fill="black", anchor="mm", align="center", font=font
    )
    return np.asarray(canvas)


def beside(pictures: Sequence[AnySize], gap: int) -> Page:
    """Return pictures in a row, the upper edges in line, white between and below them."""
    height = max(picture.shape[0] for picture in pictures)
    parts: list[Page] = []
    for picture in pictures:
        below = height - picture.shape[0]
        parts.append(np.pad(picture, ((0, below), (0, gap), (0, 0)), constant_values=WHITE))
    return _without_last(np.concatenate(parts, axis=1), gap)


def stacked(pages: Sequence[AnySize], gap: int) -> Page:
    """Return pictures below one another, the left edges in line, white between and beside."""
    turned = [np.swapaxes(page, 0, 1) for page in pages]
    return np.ascontiguousarray(np.swapaxes(beside(turned, gap), 0, 1))


def _without_last(page: Picture, gap: int) -> Page:
    return page[:, : page.shape[1] - gap]


def _fitting(text: str, width: int, size: int) -> tuple[str, _Font]:
    """Return a line with the largest font of at most a size in which it is not too wide."""
    font = ImageFont.load_default(size=size)
    while size > SMALLEST and font.getlength(text) > width:
        size -= 1
        font = ImageFont.load_default(size=size)
    kept = len(text)
    while kept and font.getlength(text[:kept] + CUT) > width and font.getlength(text) > width:
        kept -= 1
    return (text if kept == len(text) else text[:kept] + CUT), font
