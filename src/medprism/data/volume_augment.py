"""Augmentation of volumes: draw a placement or a change of intensities, apply it [Iris, Sec. 4].

A placement takes a window out of a volume, turned and scaled about the window's centre, in one
resampling; image and labels follow the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from scipy.ndimage import affine_transform, gaussian_filter

from medprism.core.errors import ConfigError
from medprism.core.windows import Shape

Volume = Float32[np.ndarray, "slices height width"]
Window = Float32[np.ndarray, "_ _ _"]


@dataclass(frozen=True, kw_only=True)
class VolumeAugmentConfig:
    """Ranges of the paper, and the odds that it does not state.

    Scale and angle change the placement; the others the intensities of a standardised window.
    `query_noise` is the deviation of the noise that the query alone gets.
    """

    turn: float = 0.5
    scale: tuple[float, float] = (0.9, 1.1)
    max_degrees: float = 10.0
    odds: float = 0.3
    brightness: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.1
    gamma: tuple[float, float] = (0.8, 1.2)
    contrast: tuple[float, float] = (0.8, 1.2)
    blur: tuple[float, float] = (0.7, 1.3)
    noise: float = 0.02
    query_noise: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.turn <= 1 and 0 <= self.odds <= 1):
            raise ConfigError(f"odds must lie in 0..1, got {self.turn} and {self.odds}")
        for name in ("scale", "brightness", "gamma", "contrast", "blur"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ConfigError(f"{name} must be positive and in order, got {low}..{high}")


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a window lies: `matrix` and `offset` take its voxels to those of the volume."""

    window: Shape
    matrix: Float64[np.ndarray, "3 3"]
    offset: Float64[np.ndarray, " 3"]


def place_upright(start: Shape, window: Shape) -> Placement:
    """Return the window that begins at a voxel of the volume, as it is."""
    return Placement(window, np.eye(3), np.asarray(start, np.float64))


def draw_placement(
    rng: np.random.Generator,
    start: Shape,
    window: Shape,
    config: VolumeAugmentConfig,
) -> Placement:
    """Draw a rotation about every axis and a scale for each, about the window's centre."""
    if rng.random() >= config.turn:
        return place_upright(start, window)
    matrix = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(rng.uniform(-config.max_degrees, config.max_degrees))
        one, two = (k for k in range(3) if k != axis)
        turn = np.eye(3)
        turn[[one, two], [one, two]] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix = matrix / rng.uniform(*config.scale, size=3)
    middle = (np.array(window) - 1) / 2
    offset = np.asarray(start, np.float64) + middle - matrix @ middle
    return Placement(window, matrix, offset)


def cut_image(image: Volume, placement: Placement) -> Window:
    """Return the intensities in the window, linear; beyond the volume its edge goes on."""
    return np.asarray(
        affine_transform(
            image,
            placement.matrix,
            placement.offset,
            output_shape=placement.window,
            order=1,
            mode="nearest",
            prefilter=False,
        )
    )


def cut_labels(
    labels: UInt8[np.ndarray, "slices height width"], placement: Placement
) -> UInt8[np.ndarray, "_ _ _"]:
    """Return the labels in the window, nearest; beyond the volume there is background."""
    return np.asarray(
        affine_transform(
            labels,
            placement.matrix,
            placement.offset,
            output_shape=placement.window,
            order=0,
            mode="constant",
            prefilter=False,
        )
    )


def change_intensities(
    rng: np.random.Generator, window: Window, config: VolumeAugmentConfig
) -> Window:
    """Draw and apply brightness, shift, gamma, contrast, blur and noise, each with its odds."""
    changed = window
    if rng.random() < config.odds:
        changed = changed * np.float32(rng.uniform(*config.brightness))
    if rng.random() < config.odds:
        changed = changed + np.float32(rng.normal(0, config.shift))
    if rng.random() < config.odds:
        changed = _bend(changed, rng.uniform(*config.gamma))
    if rng.random() < config.odds:
        mean = changed.mean()
        changed = (changed - mean) * np.float32(rng.uniform(*config.contrast)) + mean
    if rng.random() < config.odds:
        changed = gaussian_filter(changed, rng.uniform(*config.blur))
    if rng.random() < config.odds:
        changed = add_noise(rng, changed, rng.uniform(0, config.noise))
    return np.asarray(changed, np.float32)


def add_noise(rng: np.random.Generator, window: Window, deviation: float) -> Window:
    """Add normal noise."""
    noise = rng.standard_normal(window.shape, np.float32)
    return np.asarray(window + np.float32(deviation) * noise, np.float32)


def _bend(window: Window, gamma: float) -> Window:
    low, high = float(window.min()), float(window.max())
    if not high > low:
        return window
    bent = ((window - low) / (high - low)) ** gamma
    return np.asarray(bent * (high - low) + low, np.float32)
