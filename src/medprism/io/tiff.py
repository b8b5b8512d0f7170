"""TIFF: a picture, or a volume of slices where it has several pages.

The resolution tags are for print and are not taken as spacing. Uncompressed and deflated files are
decoded by tifffile; other compressions (LZW, PackBits, JPEG, fax) by Pillow and, for 16-bit colour,
OpenCV, since tifffile's own decoders for them are a 100 MB package.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import Image as Pillow
from PIL import TiffImagePlugin

from medprism.core.errors import ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.bounded_file import BoundedFile
from medprism.io.foreign import check_promise, decoding
from medprism.io.mask_file import MaskFile, to_label_numbers, unpack_colours, unpack_names
from medprism.io.raster import orient
from medprism.io.slide_level import refuse_large_slide

# tifffile logs every damaged tag; without a handler Python would print that on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Stack = Shaped[np.ndarray, "pages height width samples"]
Shown = Shaped[np.ndarray, "pages height width channels"]

_UNCOMPRESSED: Final = tifffile.COMPRESSION.NONE
_DECODED_BY_TIFFFILE: Final = (
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.LZMA,
)
_PREDICTORS: Final = (tifffile.PREDICTOR.NONE, tifffile.PREDICTOR.HORIZONTAL)
_WHOLE_BYTES: Final = (1, 8, 16, 32, 64)
_GREY: Final = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
_COLOUR: Final = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
# Axes that stack pages: plain pages, depth, and what tifffile cannot name.
_STACKING: Final = frozenset("IZQ")
_ORIENTATION_TAG: Final = 274


def read_tiff(path: Path) -> Image:
    """Read a picture or a volume; grey and RGB, 1 to 64 bit, alpha dropped, white-is-zero turned.

    Raises:
        ImageReadError: damaged, channels or time points beside the pages, CMYK and the like, or a
            whole slide that is too large for one picture.
    """
    with (
        decoding("TIFF", Pillow.DecompressionBombError, cv2.error),
        BoundedFile(path) as stream,
        tifffile.TiffFile(stream) as file,
    ):
        page = _first_page(file)
        refuse_large_slide(file)
        stack = _decode(file, path)
        stack = _as_shown(stack, page)
    return _upright(stack, page)


def read_tiff_mask(path: Path) -> MaskFile:
    """Read label numbers: the stored values, palette indices included.

    Raises:
        ImageReadError: damaged, or with more than one channel.
    """
    with (
        decoding("TIFF", Pillow.DecompressionBombError, cv2.error),
        BoundedFile(path) as stream,
        tifffile.TiffFile(stream) as file,
    ):
        page = _first_page(file)
        description = page.description
        stack = _decode(file, path)
    if stack.shape[3] != 1:
        raise ImageReadError(
            f"it has {stack.shape[3]} channels, a mask holds one label number a pixel; save it grey"
        )
    numbers = to_label_numbers(_upright(stack, page).voxels[..., 0])
    geometry = Geometry.pixels((numbers.shape[0], numbers.shape[1], numbers.shape[2]))
    array = numbers[0] if numbers.shape[0] == 1 else numbers
    return MaskFile(array, geometry, unpack_names(description), unpack_colours(description))


def _first_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    check_chain(file)
    page = file.pages.first
    if page.photometric not in (*_GREY, *_COLOUR, tifffile.PHOTOMETRIC.PALETTE):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageReadError(f"it stores {name} pixels; save it as grey or RGB")
    return page


def check_chain(file: tifffile.TiffFile) -> None:
    """Refuse a file whose chain of pages is cut; tifffile would give the pages before the cut.

    Raises:
        ImageReadError: a link leads behind the end of the file, or back to an earlier page.
    """
    is_big = file.tiff.version == 43
    count_format, link_format, entry = ("Q", "Q", 20) if is_big else ("H", "I", 12)
    handle, seen = file.filehandle, set[int]()
    at = 8 if is_big else 4
    while True:
        link = _number(handle, at, file.byteorder + link_format)
        if link == 0:
            return
        if link in seen or link >= handle.size:
            raise ImageReadError(
                f"it ends after {len(seen)} of its pages; it is truncated or damaged, export it "
                "again"
            )
        seen.add(link)
        entries = _number(handle, link, file.byteorder + count_format)
        at = link + struct.calcsize(count_format) + entries * entry


def _number(handle: tifffile.FileHandle, at: int, layout: str) -> int:
    handle.seek(at)
    return int(struct.unpack(layout, handle.read(struct.calcsize(layout)))[0])


def _decode(file: tifffile.TiffFile, path: Path) -> Stack:
    """Return all pages of the first series, samples last."""
    series = file.series[0]
    page = file.pages.first
    axes, shape = _axes(series)
    check_promise(
        int(np.prod(shape, dtype=object)) * page.bitspersample // 8,
        path.stat().st_size,
        is_compressed=page.compression != _UNCOMPRESSED,
    )
    is_ours = (
        page.compression in _DECODED_BY_TIFFFILE
        and page.predictor in _PREDICTORS
        and page.bitspersample in _WHOLE_BYTES
        and page.photometric != tifffile.PHOTOMETRIC.YCBCR
    )
    if is_ours:
        pixels = series.asarray().reshape(shape)
        if "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), -1)
        stack = pixels.reshape(-1, page.imagelength, page.imagewidth, page.samplesperpixel)
    else:
        stack = _decode_elsewhere(
            path, page, [item.index for item in series.pages if item is not None]
        )
    if stack.ndim != 4 or stack.shape[1:3] != (page.imagelength, page.imagewidth):
        raise ImageReadError(
            f"it was decoded to an array of {stack.shape} where its header says "
            f"{page.imagelength} x {page.imagewidth} pixels; it is damaged, export it again"
        )
    return stack.astype(stack.dtype.newbyteorder("="), copy=False)


def _axes(series: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return the axes that are longer than one (rows, columns and samples always) and the shape."""
    kept = [
        (axis, int(length))
        for axis, length in zip(series.axes, series.shape, strict=True)
        if length != 1 or axis in "YXS"
    ]
    axes = "".join(axis for axis, _ in kept)
    stacking = [axis for axis in axes if axis not in "YXS"]
    if len(stacking) > 1 or not set(stacking) <= _STACKING:
        listed = ", ".join(f"{length} along {axis}" for axis, length in kept)
        raise ImageReadError(
            f"its pages are more than a stack of slices ({listed}); save one channel and time point"
        )
    return axes, tuple(length for _, length in kept)


def _decode_elsewhere(path: Path, page: tifffile.TiffPage, indices: list[int]) -> Stack:
    if page.samplesperpixel >= 3 and page.bitspersample > 8:
        found, pages = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)
        if not found:
            raise ValueError(f"compression {page.compression} cannot be decoded")
        deep = np.stack([np.asarray(pages[index]) for index in indices])
        return deep[..., 2::-1] if deep.ndim == 4 else deep
    with Pillow.open(path, formats=(TiffImagePlugin.TiffImageFile.format,)) as picture:
        decoded = []
        for index in indices:
            picture.seek(index)
            if page.photometric == tifffile.PHOTOMETRIC.YCBCR:
                decoded.append(np.asarray(picture.convert("RGB")))
            else:
                decoded.append(np.array(picture))
    stack = np.stack(decoded)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and page.bitspersample <= 8:
        # Pillow has turned white-is-zero already; we want what is stored.
        stack = ~stack
    if page.photometric in _GREY and stack.dtype == np.uint8:
        stack = stack // _spread(page)
    return stack if stack.ndim == 4 else stack[..., None]


def _as_shown(stack: Stack, page: tifffile.TiffPage) -> Shown:
    """Return intensities as they are meant: black is zero, palettes looked up, no alpha."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        table = np.asarray(page.colormap)
        shown = np.moveaxis(table[:, stack[..., 0]], 0, -1)
        return (shown >> 8).astype(np.uint8)
    if page.photometric in _COLOUR:
        return stack[..., :3]
    grey = stack[..., :1]
    if grey.dtype.kind in "bu" and page.bitspersample < 8:
        grey = grey.astype(np.uint8) * _spread(page)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and grey.dtype.kind == "u":
        return np.iinfo(grey.dtype).max - grey
    return grey


def _spread(page: tifffile.TiffPage) -> np.uint8:
    """Return the factor by which Pillow spreads 1, 2 and 4 bit grey over 0..255; 1 for 8 bit."""
    return np.uint8(255 // (2 ** min(8, page.bitspersample) - 1))


def _upright(stack: Stack, page: tifffile.TiffPage) -> Image:
    tag = page.tags.get(_ORIENTATION_TAG)
    orientation = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    turned = np.stack([orient(plane, orientation) for plane in stack])
    shape = (turned.shape[0], turned.shape[1], turned.shape[2])
    return Image(turned, Geometry.pixels(shape), is_planar=turned.shape[0] == 1)
