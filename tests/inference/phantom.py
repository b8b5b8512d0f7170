"""Phantoms with three structures that differ in brightness; not square, centred or symmetric."""

from __future__ import annotations

import numpy as np

from medprism.core.randomness import counter_rng

# Brightness of the three structures: those of the fake model's classes.
LEVELS = {"liver": 115, "left kidney": 173, "polyp": 235}
SHAPE = (88, 124)


def scene(seed: int = 0, *, shift: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return an image (uint8) and the mask of each structure."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    cols = cols - shift
    masks = {
        "liver": ((rows - 30) / 18) ** 2 + ((cols - 30) / 24) ** 2 < 1,
        "left kidney": (rows > 48) & (rows < 78) & (cols > 62) & (cols < 62 + (rows - 40)),
        "polyp": (abs(rows - 18) < 5) & (abs(cols - 92) < 7),
    }
    image = np.full(SHAPE, 40.0)
    for name, mask in masks.items():
        image[mask] = LEVELS[name]
    noise = counter_rng(seed, "scene").normal(0, 3, SHAPE)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8), masks


def volume(slices: int = 5) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a volume whose structures wander; the polyp is on the first two slices only."""
    stack = [scene(index, shift=3 * index) for index in range(slices)]
    images, masks = [image for image, _ in stack], [mask for _, mask in stack]
    for index in range(2, slices):
        images[index] = np.where(masks[index]["polyp"], 40, images[index]).astype(np.uint8)
        masks[index]["polyp"] = np.zeros(SHAPE, dtype=bool)
    return np.stack(images), {name: np.stack([m[name] for m in masks]) for name in LEVELS}
