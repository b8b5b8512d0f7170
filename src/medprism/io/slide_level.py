"""The levels of a whole slide in a tiled TIFF: full size first, each further one smaller.

They are found by the size of the tiled pages, not by metadata: in the main chain (Aperio SVS,
pyramids of libvips) or as SubIFDs of the first page (OME-TIFF, QuPath). Thumbnails, labels and
macro pictures are stored in strips or have another aspect, and are left out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import tifffile

from medprism.core.errors import ImageReadError

# A slide with a larger full size is not read as one picture: 8192 x 8192.
LARGEST_PICTURE: Final = 2**26
_APERIO_MPP: Final = re.compile(r"\|\s*MPP\s*=\s*([-+.\deE]+)")
_OME_PIXELS: Final = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_OME_SIZE: Final = re.compile(r"\bPhysicalSize([XY])(Unit)?\s*=\s*[\"']([^\"']*)[\"']")
_MM: Final = {"": 1e-3, "µm": 1e-3, "μm": 1e-3, "um": 1e-3, "nm": 1e-6, "mm": 1.0, "cm": 10.0}
_CENTIMETRE: Final = 3
# Pixels a centimetre are of the tissue only where no printer is that fine.
_LARGEST_MM_BY_TAGS: Final = 0.02
_PLAUSIBLE_MM: Final = (1e-6, 1.0)


@dataclass(frozen=True)
class SlideLevel:
    """One level: its size in pixels, and how many pixels of the full size one of its covers.

    `spacing` is (row, col) in mm, None where the file does not tell it.
    """

    shape: tuple[int, int]
    downsample: tuple[float, float]
    spacing: tuple[float, float] | None

    def describe(self) -> str:
        """Return the size for people, height before width.

        >>> SlideLevel((300, 500), (1.0, 1.0), (0.00025, 0.00025)).describe()
        '300 x 500 pixels of 0.25 µm'
        """
        size = f"{self.shape[0]} x {self.shape[1]} pixels"
        return size if self.spacing is None else f"{size} of {self.spacing[1] * 1000:.4g} µm"


def level_pages(file: tifffile.TiffFile) -> tuple[tifffile.TiffPage, ...]:
    """Return the pages of the levels, the full size first; the chain of pages must be whole.

    Raises:
        ImageReadError: the first page is not tiled, or the file holds several pictures of full
            size (channels, focus planes).
    """
    base = file.pages.first
    if not base.is_tiled:
        raise ImageReadError(
            "its pixels are not stored in tiles, so it is no whole slide; leave out the level to "
            "read it as a picture"
        )
    chain = _tiled(file.pages)[1:]
    equal = sum(_size(page) == _size(base) for page in chain)
    if equal:
        raise ImageReadError(
            f"it holds {equal + 1} pictures of its full size (channels, focus planes or time "
            "points); save one of them"
        )
    inner = _tiled(base.pages) if base.subifds else chain
    smaller = sorted((page for page in inner if _fits(page, base)), key=_size, reverse=True)
    pages = [base]
    for page in smaller:
        if page.imagelength < pages[-1].imagelength and page.imagewidth < pages[-1].imagewidth:
            pages.append(page)
    return tuple(pages)


def slide_levels(pages: tuple[tifffile.TiffPage, ...]) -> tuple[SlideLevel, ...]:
    """Return the levels of pages that `level_pages` found."""
    full, spacing = _size(pages[0]), _spacing(pages[0])
    found = []
    for page in pages:
        down = downsample_between(full, _size(page))
        own = None if spacing is None else (spacing[0] * down[0], spacing[1] * down[1])
        found.append(SlideLevel(_size(page), down, own))
    return tuple(found)


def downsample_between(full: tuple[int, int], small: tuple[int, int]) -> tuple[float, float]:
    """Return how many pixels of the full size one of a level covers, along row and col.

    A whole number where rounding it up or down explains the size, since levels of uneven slides
    lose a part of a pixel; else the ratio of the sizes.

    >>> downsample_between((1001, 799), (250, 199)), downsample_between((1000, 500), (300, 150))
    ((4.0, 4.0), (3.3333333333333335, 3.3333333333333335))
    """
    ratios = full[0] / small[0], full[1] / small[1]
    whole = float(round(math.sqrt(ratios[0] * ratios[1])))
    is_whole = whole >= 1 and all(
        abs(large / whole - side) < 1 for large, side in zip(full, small, strict=True)
    )
    return (whole, whole) if is_whole else ratios


def list_levels(levels: tuple[SlideLevel, ...]) -> str:
    """Return the sizes of all levels in one line."""
    return ", ".join(f"{number}: {level.describe()}" for number, level in enumerate(levels))


def refuse_large_slide(file: tifffile.TiffFile) -> None:
    """Refuse a slide of several levels whose full size is too large for one picture.

    Raises:
        ImageReadError: it is; the message lists the levels.
    """
    base = file.pages.first
    if not base.is_tiled or math.prod(_size(base)) <= LARGEST_PICTURE:
        return
    levels = slide_levels(level_pages(file))
    if len(levels) > 1:
        raise ImageReadError(
            f"it is a whole slide, and its full size has more than {LARGEST_PICTURE} pixels; "
            f"choose one of its levels with --level: {list_levels(levels)}"
        )


def _tiled(pages: tifffile.TiffPages | None) -> list[tifffile.TiffPage]:
    every = () if pages is None else pages
    return [page for page in every if isinstance(page, tifffile.TiffPage) and page.is_tiled]


def _size(page: tifffile.TiffPage) -> tuple[int, int]:
    return int(page.imagelength), int(page.imagewidth)


def _fits(page: tifffile.TiffPage, base: tifffile.TiffPage) -> bool:
    """Say whether a page may be a smaller level: the same kind of pixels and the same aspect."""
    (height, width), (tall, wide) = _size(page), _size(base)
    # Rounding moves a side by one pixel, here two: halves of halves.
    is_alike = abs(tall * width - wide * height) <= 2 * (tall + wide)
    kinds = [(one.samplesperpixel, one.bitspersample) for one in (page, base)]
    return bool(height and width and is_alike and kinds[0] == kinds[1])


def _spacing(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Return (row, col) in mm of the full size; sizes that no microscope has are not told."""
    text = page.description or ""
    found = _of_aperio(text) or _of_ome(text) or _of_tags(page)
    low, high = _PLAUSIBLE_MM
    return found if found is not None and all(low < side < high for side in found) else None


def _of_aperio(text: str) -> tuple[float, float] | None:
    match = _APERIO_MPP.search(text) if text.startswith("Aperio") else None
    microns = _number(match[1]) if match else None
    return None if microns is None else (microns / 1000, microns / 1000)


def _of_ome(text: str) -> tuple[float, float] | None:
    element = _OME_PIXELS.search(text)
    if element is None:
        return None
    said = {axis + unit: value for axis, unit, value in _OME_SIZE.findall(element[0])}
    sides = []
    for axis in ("Y", "X"):
        size, factor = _number(said.get(axis, "")), _MM.get(said.get(axis + "Unit", ""))
        if size is None or factor is None:
            return None
        sides.append(size * factor)
    return sides[0], sides[1]


def _of_tags(page: tifffile.TiffPage) -> tuple[float, float] | None:
    unit = page.tags.get("ResolutionUnit")
    if unit is None or unit.value != _CENTIMETRE:
        return None
    sides = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        value = tag.value if tag is not None else None
        if not isinstance(value, tuple) or len(value) != 2 or not all(value):
            return None
        sides.append(10 * value[1] / value[0])
    return (sides[0], sides[1]) if max(sides) <= _LARGEST_MM_BY_TAGS else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
