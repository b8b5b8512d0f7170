"""The Dice coefficient."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from medprism.metrics.overlap import Overlap, count_overlap


def dice(mask: Bool[np.ndarray, "*grid"], reference: Bool[np.ndarray, "*other_grid"]) -> float:
    """Return 2 |A and B| / (|A| + |B|), in 0..1, never NaN: two empty masks agree, which is 1.

    The tables of the papers score only slices on which the label is present; where it is absent
    use `presence.false_positive_rate`.

    Raises:
        GeometryError: the grids differ.

    >>> dice(np.array([True, True, False]), np.array([False, True, True]))
    0.5
    >>> dice(np.zeros(3, bool), np.zeros(3, bool))
    1.0
    """
    return dice_of_counts(count_overlap(mask, reference))


def dice_of_counts(counts: Overlap) -> float:
    """Return Dice from counts, for volumes that are seen slice by slice.

    >>> dice_of_counts(Overlap(mask=3, reference=5, common=2))
    0.5
    """
    total = counts.mask + counts.reference
    return 2 * counts.common / total if total else 1.0
