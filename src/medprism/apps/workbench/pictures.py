"""Slices, masks and maps as PNG; the bounds of windows are taken once an image."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as Pillow

from medprism.core.errors import ImageReadError, InternalError
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.core.prompt import Mask2d
from medprism.inference.placement import place_slice
from medprism.io.mask_file import Colour

# Centre and width as radiologists use them, given as bounds in Hounsfield units.
CT_PRESETS: Final[tuple[tuple[str, float, float], ...]] = (
    ("soft tissue", -160.0, 240.0),
    ("lung", -1350.0, 150.0),
    ("bone", -450.0, 1050.0),
    ("brain", 0.0, 80.0),
    ("liver", -45.0, 105.0),
)
_OUTLINE: Final = 1


@dataclass(frozen=True)
class Window:
    """Intensities of an image: those shown as black and white by its own rule, and the extremes."""

    low: float
    high: float
    minimum: float
    maximum: float
    presets: tuple[tuple[str, float, float], ...]


class Windows:
    """The window of every image in use; threads may share it."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Image, Window] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, image: Image) -> Window:
        """Return the window of an image, measured the first time."""
        with self._lock:
            found = self._known.get(image)
        if found is not None:
            return found
        rule = choose_rule(image)
        low, high = rule.bounds(image)
        finite = image.voxels[np.isfinite(image.voxels)]
        presets = CT_PRESETS if rule.name.startswith("ct") else ()
        window = Window(low, high, float(finite.min()), float(finite.max()), presets)
        with self._lock:
            self._known[image] = window
        return window


def slice_png(image: Image, slice_index: int, low: float, high: float) -> bytes:
    """Return a slice in 8 bit (grey or RGB); `low` and below is black, `high` and above white.

    Raises:
        PromptError: there is no such slice.
    """
    plane = image.voxels[place_slice(image, slice_index)]
    return _encode(_eight_bit(plane, low, high))


def raw_png(image: Image, slice_index: int) -> tuple[bytes, float, float]:
    """Return a slice in 16 bit grey with the scale and offset that give back its values.

    Raises:
        ImageReadError: a colour image, or one without a finite value on the slice.
    """
    if image.is_rgb:
        raise ImageReadError("a colour image has no raw slices; ask for 8 bit, which are exact")
    plane = image.voxels[place_slice(image, slice_index)][..., 0]
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    if finite.size == 0:
        raise ImageReadError("the slice has no finite value; choose another one")
    lowest, highest = float(finite.min()), float(finite.max())
    is_exact = plane.dtype.kind in "iu" and highest - lowest <= 65535
    scale = 1.0 if is_exact or highest == lowest else (highest - lowest) / 65535
    values = np.nan_to_num(plane.astype(np.float64), nan=lowest, posinf=highest, neginf=lowest)
    stored = np.clip(np.rint((values - lowest) / scale), 0, 65535).astype(np.uint16)
    return _encode(stored), scale, lowest


def thumbnail_png(
    image: Image, window: Window, slice_index: int, size: int, mask: Mask2d | None = None
) -> bytes:
    """Return a small picture of a slice whose longer side is `size`; a mask is outlined in orange.

    Pixels that are not square are brought to their true proportions.
    """
    plane = _eight_bit(image.voxels[slice_index], window.low, window.high)
    picture = np.repeat(plane[..., None], 3, axis=2) if plane.ndim == 2 else plane
    _, down, across = image.geometry.spacing
    height, width = picture.shape[0] * down, picture.shape[1] * across
    scale = size / max(height, width)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, target, interpolation=cv2.INTER_AREA)
    if mask is not None and mask.any():
        coverage = cv2.resize(mask.astype(np.float32), target, interpolation=cv2.INTER_AREA)
        found = (coverage >= 0.5).astype(np.uint8)
        outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, (230, 159, 0), _OUTLINE)
    return _encode(np.asarray(small))


def mask_png(planes: Sequence[Mask2d], colours: Sequence[Colour]) -> bytes:
    """Return masks as an indexed PNG in their colours; the number is the place, from 1.

    Where masks overlap the later one is seen. 0 is transparent.

    Raises:
        InternalError: no mask, or more than an index holds.
    """
    if not 1 <= len(planes) <= 255:
        raise InternalError(f"{len(planes)} masks in an indexed picture")
    numbers = np.zeros(planes[0].shape, np.uint8)
    for number, plane in enumerate(planes, start=1):
        numbers[plane] = number
    picture = Pillow.fromarray(numbers).convert("P")
    picture.putpalette([0, 0, 0, *(part for colour in colours for part in colour)])
    stream = io.BytesIO()
    picture.save(stream, format="PNG", transparency=0, compress_level=1)
    return stream.getvalue()


def map_png(values: Float32[np.ndarray, "height width"], highest: float = 1.0) -> bytes:
    """Return a map from 0 to `highest` as 8 bit grey."""
    return _encode(np.rint(np.clip(values / highest, 0, 1) * 255).astype(np.uint8))


def _eight_bit(plane: np.ndarray, low: float, high: float) -> UInt8[np.ndarray, "..."]:
    values = np.rint(to_eight_bit_range(plane, (low, high))).astype(np.uint8)
    return np.asarray(values if values.shape[2] == 3 else values[..., 0])


def _encode(picture: np.ndarray) -> bytes:
    stored = picture[..., ::-1] if picture.ndim == 3 else picture
    done, content = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise InternalError("OpenCV cannot write a PNG")
    return content.tobytes()
