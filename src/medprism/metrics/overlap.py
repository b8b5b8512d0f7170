"""Counts of shared voxels, and the Jaccard index made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import GeometryError


@dataclass(frozen=True)
class Overlap:
    """Voxels of a mask, of its reference, and of both."""

    mask: int
    reference: int
    common: int


def count_overlap(
    mask: Bool[np.ndarray, "*grid"], reference: Bool[np.ndarray, "*other_grid"]
) -> Overlap:
    """Count the voxels of two masks on one grid of any dimension.

    Counts of slices add up to those of their volume.

    Raises:
        GeometryError: the grids differ.

    >>> count_overlap(np.array([True, True, False]), np.array([False, True, True]))
    Overlap(mask=2, reference=2, common=1)
    """
    if mask.shape != reference.shape:
        raise GeometryError(
            f"a mask of shape {mask.shape} cannot be compared with a reference of shape "
            f"{reference.shape}; bring both onto one grid first"
        )
    return Overlap(
        mask=int(np.count_nonzero(mask)),
        reference=int(np.count_nonzero(reference)),
        common=int(np.count_nonzero(mask & reference)),
    )


def iou(mask: Bool[np.ndarray, "*grid"], reference: Bool[np.ndarray, "*other_grid"]) -> float:
    """Return the Jaccard index, intersection over union; two empty masks give 1.

    >>> iou(np.array([True, True, False]), np.array([False, True, True]))
    0.3333333333333333
    """
    counts = count_overlap(mask, reference)
    union = counts.mask + counts.reference - counts.common
    return counts.common / union if union else 1.0
