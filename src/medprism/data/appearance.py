"""Photometric augmentation: draw an appearance, apply it to 8-bit pixels.

Applied before the warp, so that the zeros around a slice stay zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng

Pixels = UInt8[np.ndarray, "height width channels"]

_NOISE_LENGTH: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class AppearanceConfig:
    """Odds and ranges; intensities are shares of the full 0..255 range, hue is in degrees."""

    tone: float = 0.8
    max_brightness: float = 0.15
    max_contrast: float = 0.3
    max_gamma: float = 0.35
    invert_grey: float = 0.05
    colour: float = 0.5
    max_hue: float = 18.0
    max_saturation: float = 0.35
    to_grey: float = 0.1
    blur: float = 0.15
    max_blur_pixels: float = 1.5
    noise: float = 0.2
    max_noise: float = 0.06

    def __post_init__(self) -> None:
        odds = (self.tone, self.invert_grey, self.colour, self.to_grey, self.blur, self.noise)
        if not all(0 <= chance <= 1 for chance in odds):
            raise ConfigError(f"odds {odds} of an appearance must lie in 0..1")


@dataclass(frozen=True)
class Appearance:
    """One drawn change; the defaults change nothing.

    Tone: value -> (value ** gamma - 0.5) * contrast + 0.5 + brightness on 0..1. `noise_start`
    is where the noise is cut from a fixed strip of Gaussian noise.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    is_inverted: bool = False
    is_grey: bool = False
    hue_degrees: float = 0.0
    saturation: float = 1.0
    blur_pixels: float = 0.0
    noise: float = 0.0
    noise_start: int = 0


def draw_appearance(
    rng: np.random.Generator, config: AppearanceConfig, *, is_rgb: bool
) -> Appearance:
    """Draw tone, colour, blur and noise; colour only for RGB, inversion only for grey."""
    chance = rng.random(6)
    tone = rng.uniform(-1.0, 1.0, 3) * (chance[0] < config.tone)
    colour = rng.uniform(-1.0, 1.0, 2) * (is_rgb and chance[1] < config.colour)
    size = rng.random(2)
    return Appearance(
        gamma=math.exp(tone[0] * config.max_gamma),
        contrast=math.exp(tone[1] * config.max_contrast),
        brightness=float(tone[2] * config.max_brightness),
        is_inverted=bool(not is_rgb and chance[2] < config.invert_grey),
        is_grey=bool(is_rgb and chance[3] < config.to_grey),
        hue_degrees=float(colour[0] * config.max_hue),
        saturation=float(1.0 + colour[1] * config.max_saturation),
        blur_pixels=float(size[0] * config.max_blur_pixels) if chance[4] < config.blur else 0.0,
        noise=float(size[1] * config.max_noise) if chance[5] < config.noise else 0.0,
        noise_start=int(rng.integers(_NOISE_LENGTH)),
    )


def apply_appearance(image: Pixels, appearance: Appearance) -> Pixels:
    """Return the image with the drawn change: colour, tone, blur, noise, in this order."""
    if image.shape[2] == 3:
        image = _recolour(image, appearance)
    curve = _tone_curve(appearance)
    changed = image if curve is None else _looked_up(image, curve)
    if appearance.blur_pixels > 0.3:
        sigma = appearance.blur_pixels
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), sigma)).reshape(image.shape)
    if appearance.noise > 0:
        changed = _add_noise(changed, appearance)
    return changed


def _recolour(image: Pixels, appearance: Appearance) -> Pixels:
    if appearance.is_grey:
        return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    if appearance.hue_degrees == 0.0 and appearance.saturation == 1.0:
        return image
    hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
    levels = np.arange(256)
    table = np.empty((1, 256, 3), np.uint8)
    # HSV_FULL spreads 360 degrees over 256 levels, so the shift wraps by itself.
    table[0, :, 0] = (levels + round(appearance.hue_degrees * 256 / 360)) % 256
    table[0, :, 1] = np.clip(np.rint(levels * appearance.saturation), 0, 255)
    table[0, :, 2] = levels
    return np.asarray(cv2.cvtColor(np.asarray(cv2.LUT(hsv, table)), cv2.COLOR_HSV2RGB_FULL))


def _tone_curve(appearance: Appearance) -> UInt8[np.ndarray, "256"] | None:
    is_flat = (appearance.gamma, appearance.contrast, appearance.brightness) == (1.0, 1.0, 0.0)
    if is_flat and not appearance.is_inverted:
        return None
    values = np.linspace(0.0, 1.0, 256) ** appearance.gamma
    values = (values - 0.5) * appearance.contrast + 0.5 + appearance.brightness
    values = 1.0 - values if appearance.is_inverted else values
    return np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)


def _looked_up(image: Pixels, curve: UInt8[np.ndarray, "256"]) -> Pixels:
    return np.asarray(cv2.LUT(image, curve)).reshape(image.shape)


def _add_noise(image: Pixels, appearance: Appearance) -> Pixels:
    strip = _noise_strip()
    count = image.size
    start = appearance.noise_start
    repeats = -(-(start + count) // strip.size)
    noise = (strip if repeats == 1 else np.tile(strip, repeats))[start : start + count]
    shaped = noise.reshape(image.shape)
    noisy = cv2.addWeighted(image, 1.0, shaped, appearance.noise * 255, 0.0, dtype=cv2.CV_8U)
    return np.asarray(noisy).reshape(image.shape)


@lru_cache(maxsize=1)
def _noise_strip() -> Float32[np.ndarray, " length"]:
    """Return a fixed strip of standard Gaussian noise: cutting is far cheaper than drawing."""
    return counter_rng(0, "noise strip").standard_normal(_NOISE_LENGTH, np.float32)
