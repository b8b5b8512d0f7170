"""The one intensity and size contract, the same code in training and serving.

Every image becomes a slice of float32 in 0..255 by a named rule (data, so it is stored in the
checkpoint), is fitted to a canvas, and enters the model as (value - 127.5) / 63.75.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8

from medprism.core.errors import ConfigError
from medprism.core.image import Image

CENTRE: Final = 127.5
SCALE: Final = 63.75
MULTIPLE: Final = 16


@dataclass(frozen=True)
class IntensityRule:
    """Clip to [low, high] and stretch to 0..255; bounds are intensities or percentiles.

    `by_percentile` bounds are taken over the whole image or volume (finite voxels), never over
    one slice, so that neighbouring slices keep the same brightness.
    """

    name: str
    low: float
    high: float
    by_percentile: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(
                f"intensity rule {self.name}: low {self.low} must be below {self.high}"
            )

    def bounds(self, image: Image) -> tuple[float, float]:
        """Return the intensities that become 0 and 255 on this image."""
        if not self.by_percentile:
            return self.low, self.high
        values = image.voxels[np.isfinite(image.voxels)]
        low, high = np.percentile(values, (self.low, self.high))
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """Return the rule as plain data."""
        return {
            "name": self.name,
            "low": self.low,
            "high": self.high,
            "by_percentile": self.by_percentile,
        }

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> IntensityRule:
        """Build the rule from plain data."""
        return cls(**payload)


RULES: Final[dict[str, IntensityRule]] = {
    "eight-bit": IntensityRule("eight-bit", 0.0, 255.0),
    "ct-organ": IntensityRule("ct-organ", -991.0, 500.0),
    "ct-tumour": IntensityRule("ct-tumour", -200.0, 250.0),
    "percentile": IntensityRule("percentile", 0.5, 99.5, by_percentile=True),
}


def choose_rule(image: Image) -> IntensityRule:
    """Return the rule for an image: 8 bit as it is, CT by window, all else by percentiles.

    A volume without a modality whose values reach below -500 is taken as Hounsfield units.

    >>> choose_rule(Image.from_array(np.zeros((4, 4), np.uint8))).name
    'eight-bit'
    """
    if image.voxels.dtype == np.uint8:
        return RULES["eight-bit"]
    finite = image.voxels[np.isfinite(image.voxels)]
    looks_like_hounsfield = bool(finite.min() < -500)
    if image.modality == "CT" or (image.modality is None and looks_like_hounsfield):
        return RULES["ct-organ"]
    return RULES["percentile"]


def to_eight_bit_range(
    plane: Shaped[np.ndarray, "height width channels"], bounds: tuple[float, float]
) -> Float32[np.ndarray, "height width channels"]:
    """Map intensities to 0..255 by the bounds of a rule; NaN becomes 0, infinity a bound.

    A constant image has equal bounds and becomes 0 everywhere.
    """
    low, high = bounds
    if high <= low:
        return np.zeros(plane.shape, np.float32)
    # Single precision cannot hold ranges as extreme as a damaged header gives, nor their scale.
    is_usual = 1e-30 < high - low < 1e30 and max(abs(low), abs(high)) < 1e30
    with np.errstate(over="ignore"):
        precise = plane.astype(np.float32 if is_usual else np.float64)
    values = np.clip(np.nan_to_num(precise, nan=low, posinf=high, neginf=low), low, high)
    if is_usual:
        stretched = (values - low) * np.float32(255.0 / (high - low))
    else:
        # The range itself may be wider than the widest number; its half is not.
        part = 1.0 if np.isfinite(high - low) else 0.5
        stretched = (values * part - low * part) / (high * part - low * part) * 255.0
    return np.asarray(stretched, dtype=np.float32)


@dataclass(frozen=True)
class Fit:
    """How a slice was placed on the canvas: resized to (height, width), padded right and below."""

    source: tuple[int, int]
    resized: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per source pixel along row and col."""
        return self.resized[0] / self.source[0], self.resized[1] / self.source[1]

    def to_canvas(self, row: float, col: float) -> tuple[float, float]:
        """Map a source position (pixel centres at integers) to the canvas."""
        scale = self.scale
        return (row + 0.5) * scale[0] - 0.5, (col + 0.5) * scale[1] - 0.5


def fit_to(source: tuple[int, int], long_side: int) -> Fit:
    """Return the placement of a slice whose long side becomes `long_side`, aspect kept.

    Both sides of the canvas are rounded up to a multiple of 16.

    >>> fit_to((300, 200), 256).resized, fit_to((300, 200), 256).canvas
    ((256, 171), (256, 176))
    """
    if long_side < MULTIPLE or long_side % MULTIPLE:
        raise ConfigError(f"long side {long_side} must be a positive multiple of {MULTIPLE}")
    ratio = long_side / max(source)
    height, width = (max(1, round(side * ratio)) for side in source)
    canvas = (_round_up(height), _round_up(width))
    return Fit(source, (height, width), canvas)


def place(
    plane: Float32[np.ndarray, "height width channels"], fit: Fit
) -> Float32[np.ndarray, "canvas_height canvas_width 3"]:
    """Resize a 0..255 slice onto its canvas and repeat grey into three channels.

    Shrinking averages areas, growing is bilinear; the padding holds zeros.
    """
    resized = _resize(plane, fit)
    if resized.shape[2] == 1:
        resized = np.repeat(resized, 3, axis=2)
    canvas = np.zeros((*fit.canvas, 3), np.float32)
    canvas[: fit.resized[0], : fit.resized[1]] = resized
    return canvas


def place_mask(
    mask: Bool[np.ndarray, "height width"], fit: Fit
) -> Float32[np.ndarray, "canvas_height canvas_width"]:
    """Resize a mask onto the canvas as coverage in 0..1; the padding is background."""
    canvas = np.zeros(fit.canvas, np.float32)
    canvas[: fit.resized[0], : fit.resized[1]] = _resize(mask.astype(np.float32)[..., None], fit)[
        ..., 0
    ]
    return canvas


def lift(
    canvas: Float32[np.ndarray, "canvas_height canvas_width"], fit: Fit
) -> Float32[np.ndarray, "height width"]:
    """Bring a map from the canvas back to the slice's own grid (bilinear)."""
    inner = np.ascontiguousarray(canvas[: fit.resized[0], : fit.resized[1]])
    height, width = fit.source
    if inner.shape == fit.source:
        return inner
    return np.asarray(cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR))


def standardise(
    canvas: Float32[np.ndarray, "canvas_height canvas_width 3"]
    | UInt8[np.ndarray, "canvas_height canvas_width 3"],
) -> Float32[np.ndarray, "3 canvas_height canvas_width"]:
    """Return the model's input: channels first, (value - 127.5) / 63.75."""
    values = (canvas.astype(np.float32) - np.float32(CENTRE)) / np.float32(SCALE)
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _resize(
    plane: Float32[np.ndarray, "height width channels"], fit: Fit
) -> Float32[np.ndarray, "resized_height resized_width channels"]:
    height, width = fit.resized
    if (height, width) == fit.source:
        return plane
    shrinks = height < fit.source[0] or width < fit.source[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    contiguous = np.ascontiguousarray(plane)
    resized = np.asarray(cv2.resize(contiguous, (width, height), interpolation=how))
    return resized.reshape(height, width, plane.shape[2])


def _round_up(side: int) -> int:
    return -(-side // MULTIPLE) * MULTIPLE
