"""Whole slides: tiled pyramidal TIFF, OME-TIFF and Aperio SVS, of which only some tiles are read.

Read by tifffile and Pillow, which are there anyway. OpenSlide (LGPL) would add scanner formats that
are no TIFF (MIRAX, VMS); for the TIFF family it gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import Image as Pillow

from medprism.core.errors import ConfigError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.bounded_file import BoundedFile
from medprism.io.foreign import decoding, naming
from medprism.io.memory_budget import SHARE, memory_bytes
from medprism.io.recognise import recognise
from medprism.io.slide_level import SlideLevel, level_pages, list_levels, slide_levels
from medprism.io.slide_tile import TileFormat, decode_tile, tile_format
from medprism.io.tiff import check_chain

Region = Shaped[np.ndarray, "height width channels"]

TILE: Final = 1024
_GREY: Final = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
_COLOUR: Final = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_ORIENTATION_TAG: Final = 274
_MODALITY: Final = "SM"


class WholeSlide:
    """An open slide. `levels` go from full size down; close it, or use it in a `with` block."""

    def __init__(self, path: Path, file: tifffile.TiffFile, closing: ExitStack, tile: int) -> None:
        self._file = file
        self._closing = closing
        self._pages = level_pages(file)
        self._formats = tuple(_checked_format(page) for page in self._pages)
        self.path = path
        self.tile_size = tile
        self.levels = slide_levels(self._pages)

    def __enter__(self) -> WholeSlide:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._closing.close()

    def level(self, number: int) -> SlideLevel:
        """Return a level.

        Raises:
            ConfigError: there is no such level; the message lists those that there are.
        """
        if not 0 <= number < len(self.levels):
            raise ConfigError(
                f"{self.path} has no level {number}; choose one of {list_levels(self.levels)}"
            )
        return self.levels[number]

    def grid(self, level: int) -> tuple[int, int]:
        """Return how many rows and columns of tiles cover a level; the last may be smaller."""
        height, width = self.level(level).shape
        return -(-height // self.tile_size), -(-width // self.tile_size)

    def tile(self, level: int, row: int, col: int) -> Image:
        """Return one tile of `tile_size` pixels, smaller at the right and lower edge.

        Raises:
            ConfigError: no such level, or a tile outside its grid.
            ImageReadError: the tile is damaged.
        """
        rows, cols = self.grid(level)
        if not (0 <= row < rows and 0 <= col < cols):
            raise ConfigError(
                f"{self.path} has no tile ({row}, {col}) at level {level}; there are {rows} x "
                f"{cols} of {self.tile_size} pixels"
            )
        height, width = self.levels[level].shape
        top, left = row * self.tile_size, col * self.tile_size
        bottom, right = min(height, top + self.tile_size), min(width, left + self.tile_size)
        return self.region(level, (top, left, bottom, right))

    def tiles(self, level: int) -> Iterator[Image]:
        """Yield the tiles of a level, row by row; one is in memory at a time."""
        rows, cols = self.grid(level)
        for row in range(rows):
            for col in range(cols):
                yield self.tile(level, row, col)

    def region(self, level: int, box: tuple[int, int, int, int]) -> Image:
        """Return (top, left, bottom, right) of a level, half open; reads the tiles it touches.

        The geometry places it on the slide: the centre of the first pixel of the full size is the
        origin, rows run towards posterior and columns towards left, as pictures are shown. Without
        a known spacing lengths are in pixels of the full size.

        Raises:
            ConfigError: no such level, or a box that is empty or outside the level.
            ImageReadError: a tile is damaged, or the region is larger than a quarter of the memory.
        """
        height, width = self.level(level).shape
        top, left, bottom, right = box
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise ConfigError(
                f"region {box} lies outside level {level} of {self.path}, which has {height} x "
                f"{width} pixels; (top, left, bottom, right) must be inside"
            )
        with naming(self.path), decoding("a whole slide", Pillow.DecompressionBombError):
            pixels = self._read(level, box)
        geometry = _place(self.levels[level], box)
        return Image(pixels[None], geometry, is_planar=True, modality=_MODALITY, source=self.path)

    def _read(self, level: int, box: tuple[int, int, int, int]) -> Region:
        page, form = self._pages[level], self._formats[level]
        top, left, bottom, right = box
        samples = min(3, int(page.samplesperpixel))
        needed = (bottom - top) * (right - left) * samples * form.bits // 8
        if needed > memory_bytes() // SHARE:
            raise ImageReadError(
                f"the region {box} takes {needed} bytes, more than a quarter of the memory; read "
                "it in parts, or from a smaller level"
            )
        # Where a scanner stored nothing there is glass: white on colour, black on fluorescence.
        empty = 0 if page.photometric in _GREY else 2**form.bits - 1
        region = np.full((bottom - top, right - left, samples), empty, f"u{form.bits // 8}")
        for row in range(top // form.height, -(-bottom // form.height)):
            for col in range(left // form.width, -(-right // form.width)):
                self._paste(region, page, form, box, (row, col))
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            return np.iinfo(region.dtype).max - region
        return region

    def _paste(
        self,
        region: Region,
        page: tifffile.TiffPage,
        form: TileFormat,
        box: tuple[int, int, int, int],
        at: tuple[int, int],
    ) -> None:
        """Decode the planes of one stored tile and copy what lies in the box."""
        across = -(-int(page.imagewidth) // form.width)
        down = -(-int(page.imagelength) // form.height)
        first_row, first_col = at[0] * form.height, at[1] * form.width
        top, bottom = max(box[0], first_row), min(box[2], first_row + form.height)
        left, right = max(box[1], first_col), min(box[3], first_col + form.width)
        planes = region.shape[2] if form.samples == 1 else 1
        for plane in range(planes):
            stored = self._stored(page, (plane * down + at[0]) * across + at[1])
            if stored is None:
                continue
            tile = decode_tile(stored, form)[..., : region.shape[2]]
            part = tile[top - first_row : bottom - first_row, left - first_col : right - first_col]
            channels = slice(plane, plane + 1) if planes > 1 else slice(None)
            region[top - box[0] : bottom - box[0], left - box[1] : right - box[1], channels] = part

    def _stored(self, page: tifffile.TiffPage, index: int) -> bytes | None:
        """Return the bytes of a stored tile, None where nothing was stored."""
        offset, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
        if count == 0:
            return None
        handle = self._file.filehandle
        if offset + count > handle.size:
            raise ValueError(f"tile {index} lies behind the end of the file")
        handle.seek(offset)
        return bytes(handle.read(count))


def open_slide(path: Path | str, tile: int = TILE) -> WholeSlide:
    """Open a tiled TIFF, OME-TIFF or Aperio SVS; `tile` is the side of the tiles it gives.

    Raises:
        ImageReadError: it is missing, damaged, not tiled, or its tiles cannot be decoded.
        ConfigError: the side is below 1.
    """
    path = Path(path)
    if tile < 1:
        raise ConfigError(f"tiles of {tile} pixels cannot be read; the side must be at least 1")
    with naming(path), decoding("a whole slide"):
        if recognise(path) != "tiff":
            raise ImageReadError("it is no TIFF; whole slides are tiled TIFF, OME-TIFF or SVS")
        closing = ExitStack()
        try:
            file = tifffile.TiffFile(closing.enter_context(BoundedFile(path)))
            closing.enter_context(file)
            check_chain(file)
            return WholeSlide(path, file, closing, tile)
        except BaseException:
            closing.close()
            raise


def _checked_format(page: tifffile.TiffPage) -> TileFormat:
    """Refuse a page that is no picture, or whose table of tiles does not fit its size."""
    if page.photometric not in (*_GREY, *_COLOUR) or page.samplesperpixel not in (1, 3, 4):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageReadError(
            f"it stores {name} pixels of {page.samplesperpixel} samples; save it as grey or RGB"
        )
    tag = page.tags.get(_ORIENTATION_TAG)
    if tag is not None and tag.value != 1:
        raise ImageReadError(f"it is stored turned (orientation {tag.value}); save it upright")
    form = tile_format(page)
    planes = int(page.samplesperpixel) // form.samples
    wanted = -(-page.imagelength // form.height) * -(-page.imagewidth // form.width) * planes
    if not wanted == len(page.dataoffsets) == len(page.databytecounts):
        raise ImageReadError(
            f"its header promises {wanted} tiles and its table lists {len(page.dataoffsets)}; it "
            "is truncated or damaged, export it again"
        )
    return form


def _place(level: SlideLevel, box: tuple[int, int, int, int]) -> Geometry:
    top, left, bottom, right = box
    spacing = level.spacing or level.downsample
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    # A section is one slice; its thickness is not told, and nothing is measured along it.
    affine[2, 0] = spacing[0]
    for axis, (side, down, first) in enumerate(
        zip(spacing, level.downsample, (top, left), strict=True)
    ):
        world = 1 - axis
        affine[world, axis + 1] = -side
        affine[world, 3] = -side * (first + 0.5 - 0.5 / down)
    shape = (1, bottom - top, right - left)
    return Geometry(shape, affine, is_physical=level.spacing is not None)
