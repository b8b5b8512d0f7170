"""Counts of shared voxels, and the Jaccard indices made of them."""

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
    return iou_of_counts(count_overlap(mask, reference))


def iou_of_counts(counts: Overlap) -> float:
    """Return the Jaccard index from counts; two empty masks give 1.

    >>> iou_of_counts(Overlap(mask=3, reference=5, common=2))
    0.3333333333333333
    """
    union = counts.mask + counts.reference - counts.common
    return counts.common / union if union else 1.0


def miou_fg_bg(counts: Overlap, pixels: int) -> float:
    """Return the mean of the Jaccard indices of a structure and of all that is not it.

    With the counts of a whole test set added up, this is what lesion papers print as "mIoU"
    [TPSeg, release]: the large background lifts it far above the structure's own index, and above
    Dice. A side that neither mask has counts 1.

    Raises:
        GeometryError: more pixels in the masks than there are.

    >>> miou_fg_bg(Overlap(mask=3, reference=5, common=2), pixels=106)
    0.6474358974358975
    """
    union = counts.mask + counts.reference - counts.common
    if pixels < union:
        raise GeometryError(f"masks of together {union} pixels on a grid of {pixels}")
    behind = pixels - union
    background = behind / (pixels - counts.common) if pixels > counts.common else 1.0
    return (iou_of_counts(counts) + background) / 2
