"""Chiral pairs of masks in two and three dimensions."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def blobs(seed: int, shape: tuple[int, ...], sigma: float = 3.0) -> np.ndarray:
    """Return smooth random regions that cover about a third of the grid, some at its edges."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, sigma)
    return np.asarray(smooth > np.quantile(smooth, 0.67))


def pair(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a reference and a mask that is shifted, nibbled and has an island too many."""
    reference = blobs(seed, shape)
    mask = np.roll(reference, 2, axis=-1) & (blobs(seed + 50, shape) | reference)
    mask[tuple(slice(2, 5) for _ in shape)] = True
    return mask, reference
