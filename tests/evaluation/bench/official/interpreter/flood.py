"""What is connected with a pixel, for packages that flood."""

from __future__ import annotations

import numpy as np


def flood(near: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """Return which pixels can be reached from `start` over four neighbours that are near."""
    found = np.zeros_like(near)
    waiting = [start]
    while waiting:
        row, col = waiting.pop()
        inside = 0 <= row < near.shape[0] and 0 <= col < near.shape[1]
        if inside and near[row, col] and not found[row, col]:
            found[row, col] = True
            waiting += [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
    return found
