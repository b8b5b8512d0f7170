"""PNG, JPEG and BMP: pictures without spacing.

As an image, grey stays grey (8 or 16 bit), everything else becomes RGB; a palette is looked up,
1 bit becomes 0 and 255, alpha is dropped (not composited). As a mask, a palette or 1, 2 and 4 bit
grey give the stored indices. An EXIF orientation is applied to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Shaped
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin
from PIL import Image as Pillow

from medprism.core.errors import ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.bounded_file import BoundedFile
from medprism.io.foreign import decoding
from medprism.io.mask_file import KEY, MaskFile, to_label_numbers, unpack_colours, unpack_names
from medprism.io.memory_budget import check_unpacked

# Pillow loads its decoders late and does not know a format by name before.
_LOADED: Final = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin)

Pixels = Shaped[np.ndarray, "height width"] | Shaped[np.ndarray, "height width 3"]

# Photographs of several frames (MPO) come through JPEG.
_FORMATS: Final = ("PNG", "JPEG", "BMP")
_EXIF_ORIENTATION: Final = 0x0112
# How far JPEG ringing moves black and white in a two-valued mask.
_RINGING: Final = 64


def read_raster(path: Path) -> Image:
    """Read a picture.

    Raises:
        ImageReadError: damaged, animated, or above Pillow's limit of 179 megapixels.
    """
    with decoding("a picture", Pillow.DecompressionBombError):
        pixels = _decode_image(path)
    return Image.from_array(pixels)


def read_raster_mask(path: Path) -> MaskFile:
    """Read a picture as label numbers.

    RGB whose channels are equal counts as grey. JPEG does not keep numbers, so a JPEG mask must
    be black and white: what is nearer to white becomes 255.

    Raises:
        ImageReadError: damaged, colour-coded, or a JPEG with more than two values.
    """
    with decoding("a picture", Pillow.DecompressionBombError):
        pixels, text, is_lossy = _decode_indices(path)
    if pixels.ndim == 3:
        pixels = _one_channel(pixels)
    numbers = _two_values(pixels) if is_lossy else to_label_numbers(pixels)
    height, width = numbers.shape
    geometry = Geometry.pixels((1, height, width))
    return MaskFile(numbers, geometry, unpack_names(text), unpack_colours(text))


def orient(pixels: Shaped[np.ndarray, "..."], orientation: int) -> Shaped[np.ndarray, "..."]:
    """Return pixels upright, by the EXIF (and TIFF) orientation 1 to 8 of the stored ones.

    >>> orient(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    if orientation in (2, 3):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _decode_image(path: Path) -> Pixels:
    with BoundedFile(path) as stream, Pillow.open(stream, formats=_FORMATS) as picture:
        _check_size(picture, path)
        _refuse_animation(picture)
        picture.load()
        orientation = _orientation(picture)
        if _png_layout(path)[0] == 16 and not picture.mode.startswith("I"):
            return orient(_deep_colour(path), orientation)
        if picture.mode in ("1", "La", "LA"):
            return orient(np.asarray(picture.convert("L")), orientation)
        if picture.mode not in ("L", "I", "I;16", "I;16B", "F"):
            return orient(np.asarray(picture.convert("RGB")), orientation)
        return orient(_native(np.asarray(picture)), orientation)


def _decode_indices(path: Path) -> tuple[Shaped[np.ndarray, "..."], str | None, bool]:
    """Return what is stored, the text under our key, and whether JPEG blurred the numbers."""
    with BoundedFile(path) as stream, Pillow.open(stream, formats=_FORMATS) as picture:
        _check_size(picture, path)
        _refuse_animation(picture)
        picture.load()
        text = picture.info.get(KEY)
        is_lossy = picture.format in ("JPEG", "MPO")
        depth, is_grey = _png_layout(path)
        stored = _native(np.asarray(picture))
        if picture.mode == "L" and is_grey and depth in (2, 4):
            # Pillow spreads shallow grey over 0..255.
            stored = stored // (255 // (2**depth - 1))
        if picture.mode in ("La", "LA", "RGBA", "PA"):
            stored = stored[..., 0] if picture.mode != "RGBA" else stored[..., :3]
        upright = orient(stored, _orientation(picture))
    return upright, text if isinstance(text, str) else None, is_lossy


def _check_size(picture: Pillow.Image, path: Path) -> None:
    # Pillow holds any colour in four bytes.
    samples = 1 if len(picture.getbands()) == 1 else 4
    depth = 2 if _png_layout(path)[0] == 16 else 1
    unpacked = picture.width * picture.height * samples * depth
    check_unpacked(unpacked, path.stat().st_size)


def _refuse_animation(picture: Pillow.Image) -> None:
    frames = getattr(picture, "n_frames", 1)
    # An MPO is a photograph with its previews; the first is the photograph.
    if frames > 1 and picture.format != "MPO":
        raise ImageReadError(f"it is an animation of {frames} frames; save one as a picture")


def _orientation(picture: Pillow.Image) -> int:
    exif: Mapping[int, object] = picture.getexif()
    orientation = exif.get(_EXIF_ORIENTATION, 1)
    return orientation if isinstance(orientation, int) else 1


def _png_layout(path: Path) -> tuple[int, bool]:
    """Return bit depth and whether the pixels are plain grey, from the header; (0, False) else."""
    with path.open("rb") as stream:
        head = stream.read(26)
    is_png = head.startswith(b"\x89PNG") and len(head) == 26
    return (head[24], head[25] == 0) if is_png else (0, False)


def _deep_colour(path: Path) -> Pixels:
    """Decode a 16-bit colour or grey-alpha PNG, which Pillow would cut to 8 bit."""
    encoded = np.fromfile(path, dtype=np.uint8)
    pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    if pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ValueError("OpenCV does not decode this 16-bit PNG")
    with path.open("rb") as stream:
        is_grey_alpha = stream.read(26)[25] == 4
    return pixels[..., 0] if is_grey_alpha else pixels[..., 2::-1]


def _native(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _one_channel(
    pixels: Shaped[np.ndarray, "height width channels"],
) -> Shaped[np.ndarray, "height width"]:
    first = pixels[..., 0]
    if not (pixels == first[..., None]).all():
        raise ImageReadError(
            "it is a colour picture, a mask holds one label number a pixel; save it as an indexed "
            "or grey PNG"
        )
    return first


def _two_values(pixels: Shaped[np.ndarray, "height width"]) -> np.ndarray:
    distance = np.minimum(pixels, 255 - pixels.astype(np.int16))
    if (distance > _RINGING).mean() > 0.01:
        raise ImageReadError(
            "it is a JPEG with more than black and white, and JPEG does not keep label numbers; "
            "save the mask as PNG"
        )
    return np.where(pixels >= 128, np.uint8(255), np.uint8(0))
