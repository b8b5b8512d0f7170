"""Chiral shapes: not square, not centred, not symmetric."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def hook(height: int = 96, width: int = 128) -> np.ndarray:
    """Return a thick letter-like shape: a stem with one arm and a blob at its end."""
    mask = np.zeros((height, width), bool)
    mask[height // 8 : height // 2, width // 5 : width // 5 + 9] = True
    mask[height // 2 - 7 : height // 2, width // 5 : width // 2] = True
    rows, cols = np.ogrid[:height, :width]
    centre = (height // 2 + 8, width // 2)
    mask |= ((rows - centre[0]) / 12) ** 2 + ((cols - centre[1]) / 7) ** 2 < 1
    return mask


def blobs(seed: int, height: int = 60, width: int = 84, sigma: float = 3.0) -> np.ndarray:
    """Return smooth random regions that cover about a third of the plane, some at its edges."""
    noise = np.random.default_rng(seed).standard_normal((height, width))
    smooth = ndimage.gaussian_filter(noise, sigma)
    return np.asarray(smooth > np.quantile(smooth, 0.67))
