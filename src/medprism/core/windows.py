"""Windows on volumes: how large, where, and which one shows most of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from medprism.core.errors import ConfigError

Shape = tuple[int, int, int]
LEAST_WEIGHT: Final = 1e-3


def window_shape(volume: Shape, side: int, multiple: int) -> Shape:
    """Return the window for a volume: `side` along every axis, less where the volume is shorter.

    Sides are multiples of `multiple`, so a short axis of the volume may have to be padded.

    Raises:
        ConfigError: `side` is no multiple itself.

    >>> window_shape((36, 50, 130), 64, 16)
    (48, 64, 64)
    """
    if side < multiple or side % multiple:
        raise ConfigError(f"the side of a window must be a multiple of {multiple}, got {side}")
    one, two, three = (min(side, -(-length // multiple) * multiple) for length in volume)
    return one, two, three


def window_starts(length: int, size: int, overlap: float = 0.5) -> tuple[int, ...]:
    """Return where windows begin along an axis: from end to end, at equal distances.

    Neighbours share at least `overlap` of their size; a shorter axis has one window.

    >>> window_starts(110, 64), window_starts(64, 64), window_starts(30, 64)
    ((0, 23, 46), (0,), (0,))
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"the overlap of windows must lie in 0..1, below 1, got {overlap}")
    if length <= size:
        return (0,)
    # At least one voxel onwards, whatever the overlap.
    step = max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return tuple(round(k * (length - size) / (count - 1)) for k in range(count))


def window_places(volume: Shape, window: Shape, overlap: float = 0.5) -> Iterator[Shape]:
    """Yield the first voxel of every window over a volume, in a fixed order.

    >>> list(window_places((64, 100, 40), (64, 64, 48)))
    [(0, 0, 0), (0, 18, 0), (0, 36, 0)]
    """
    one, two, three = (
        window_starts(length, size, overlap) for length, size in zip(volume, window, strict=True)
    )
    yield from product(one, two, three)


def window_weights(window: Shape, spread: float) -> Float32[np.ndarray, "slices height width"]:
    """Return how much each voxel of a window counts where windows overlap: a Gaussian, 1 at most.

    `spread` is its deviation as a share of each side. No voxel counts for less than a thousandth,
    since the corners of a volume lie in one window only.

    Raises:
        ConfigError: a spread that is not above 0.

    >>> [round(float(weight), 3) for weight in window_weights((1, 3, 1), 0.5).ravel()]
    [0.801, 1.0, 0.801]
    """
    if not spread > 0:
        raise ConfigError(f"the spread of a window's weights must be above 0, got {spread}")
    axes = [(np.arange(size) - (size - 1) / 2) / (spread * size) for size in window]
    one, two, three = (np.exp(-0.5 * at**2) for at in axes)
    weights = one[:, None, None] * two[:, None] * three
    return np.asarray(np.maximum(weights / weights.max(), LEAST_WEIGHT), np.float32)


def cover_mask(mask: Bool[np.ndarray, "slices height width"], window: Shape) -> Shape:
    """Return the first voxel of the window that shows most of a mask; of equals the most central.

    The window may reach beyond a volume that is shorter, never elsewhere.

    >>> mask = np.zeros((4, 5, 30), bool); mask[1, 2, 3:9] = True
    >>> cover_mask(mask, (4, 5, 10))
    (0, 0, 1)
    """
    sums = np.pad(mask.astype(np.int64), ((1, 0), (1, 0), (1, 0)))
    for axis in range(3):
        sums = sums.cumsum(axis)
    for axis, size in enumerate(window):
        length = mask.shape[axis]
        last = max(0, length - size)
        high = np.minimum(np.arange(last + 1) + size, length)
        sums = np.take(sums, high, axis) - np.take(sums, np.arange(last + 1), axis)
    best = np.argwhere(sums == sums.max())
    inside = np.argwhere(mask)
    middle = inside.mean(0) if len(inside) else (np.array(mask.shape) - 1) / 2
    centres = best + (np.array(window) - 1) / 2
    chosen = best[int(((centres - middle) ** 2).sum(1).argmin())]
    return int(chosen[0]), int(chosen[1]), int(chosen[2])
