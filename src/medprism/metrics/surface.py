"""Distances between the borders of two masks, in mm: Hausdorff 95 % and surface Dice.

A border is the set of mask voxels with a face neighbour outside the mask; what lies beyond the
image is outside. Borders count by voxel, not by area, as in MONAI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial import KDTree

from medprism.core.errors import GeometryError

Spacing = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance in mm from each border voxel of one mask to the other's nearest border voxel.

    Both are empty where either mask is empty; `num_mask` and `num_reference` count the border
    voxels in any case, and `diagonal` is the length of the image's diagonal in mm.
    """

    to_reference: Float64[np.ndarray, " mask_border"]
    to_mask: Float64[np.ndarray, " reference_border"]
    num_mask: int
    num_reference: int
    diagonal: float


def surface_distances(
    mask: Bool[np.ndarray, "*grid"],
    reference: Bool[np.ndarray, "*other_grid"],
    spacing: Spacing,
) -> SurfaceDistances:
    """Measure the distances between two borders, from which both metrics follow.

    `spacing` is in mm per axis, in the order of the arrays' axes.

    Raises:
        GeometryError: the grids differ, or the spacing does not fit their axes.
    """
    if mask.shape != reference.shape or len(spacing) != mask.ndim or min(spacing) <= 0:
        raise GeometryError(
            f"a mask of shape {mask.shape}, a reference of shape {reference.shape} and a spacing "
            f"of {spacing} mm do not fit; one grid and one positive length an axis are needed"
        )
    diagonal = math.hypot(*(n * mm for n, mm in zip(mask.shape, spacing, strict=True)))
    here, there = (_border_points(plane) * np.asarray(spacing) for plane in (mask, reference))
    none = np.zeros(0)
    if len(here) == 0 or len(there) == 0:
        return SurfaceDistances(none, none, len(here), len(there), diagonal)
    to_reference, to_mask = KDTree(there).query(here)[0], KDTree(here).query(there)[0]
    return SurfaceDistances(to_reference, to_mask, len(here), len(there), diagonal)


@dataclass(frozen=True)
class SurfaceScore:
    """Both figures of two borders: `hausdorff_95` in mm, surface Dice in 0..1 at a tolerance."""

    hausdorff_95: float
    dice: float
    tolerance_mm: float


def surface_score(
    mask: Bool[np.ndarray, "*grid"],
    reference: Bool[np.ndarray, "*other_grid"],
    spacing: Spacing,
    tolerance_mm: float,
) -> SurfaceScore:
    """Return `hausdorff_95` and `surface_dice` from one measurement of the distances.

    >>> mask = np.zeros((6, 9), bool); mask[1:4, 2:6] = True
    >>> surface_score(mask, np.roll(mask, 1, axis=1), (1.0, 1.0), 0.0)
    SurfaceScore(hausdorff_95=1.0, dice=0.6, tolerance_mm=0.0)
    """
    distances = surface_distances(mask, reference, spacing)
    near = surface_dice_of(distances, tolerance_mm)
    return SurfaceScore(hausdorff_95_of(distances), near, tolerance_mm)


def hausdorff_95(
    mask: Bool[np.ndarray, "*grid"],
    reference: Bool[np.ndarray, "*other_grid"],
    spacing: Spacing,
) -> float:
    """Return the 95 % Hausdorff distance in mm: the larger of both directions' 95th percentiles.

    Two empty masks give 0; if one alone is empty the distance is the image's diagonal, the
    largest there can be, so that averages stay finite and a miss is never cheap.

    >>> mask = np.zeros((6, 9), bool); mask[1:4, 2:6] = True
    >>> hausdorff_95(mask, np.roll(mask, 2, axis=1), (1.0, 0.5))
    1.0
    """
    return hausdorff_95_of(surface_distances(mask, reference, spacing))


def surface_dice(
    mask: Bool[np.ndarray, "*grid"],
    reference: Bool[np.ndarray, "*other_grid"],
    spacing: Spacing,
    tolerance_mm: float,
) -> float:
    """Return the normalised surface Dice: the share of both borders within a tolerance in mm.

    Two empty masks give 1, one empty mask gives 0.

    >>> mask = np.zeros((6, 9), bool); mask[1:4, 2:6] = True
    >>> surface_dice(mask, np.roll(mask, 1, axis=1), (1.0, 1.0), 0.0)
    0.6
    """
    return surface_dice_of(surface_distances(mask, reference, spacing), tolerance_mm)


def hausdorff_95_of(distances: SurfaceDistances) -> float:
    """Return `hausdorff_95` from distances measured before."""
    if distances.num_mask == 0 and distances.num_reference == 0:
        return 0.0
    if distances.num_mask == 0 or distances.num_reference == 0:
        return distances.diagonal
    both = (distances.to_reference, distances.to_mask)
    return max(float(np.percentile(one_way, 95)) for one_way in both)


def surface_dice_of(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Return `surface_dice` from distances measured before."""
    total = distances.num_mask + distances.num_reference
    if total == 0:
        return 1.0
    # Distances of equal grids in mm carry rounding errors far below a micrometre.
    within = tolerance_mm + 1e-6
    near = sum(
        int((one_way <= within).sum()) for one_way in (distances.to_reference, distances.to_mask)
    )
    return near / total


def _border_points(mask: Bool[np.ndarray, "*grid"]) -> Float64[np.ndarray, "points axes"]:
    """Return the indices of the border voxels of a mask."""
    occupied = [np.flatnonzero(mask.any(_others(axis, mask.ndim))) for axis in range(mask.ndim)]
    if any(indices.size == 0 for indices in occupied):
        return np.zeros((0, mask.ndim))
    box = tuple(slice(int(indices[0]), int(indices[-1]) + 1) for indices in occupied)
    padded = np.pad(mask[box], 1)
    inner = tuple(slice(1, -1) for _ in range(mask.ndim))
    interior = padded[inner].copy()
    for axis in range(mask.ndim):
        for shifted in (slice(None, -2), slice(2, None)):
            window = (*inner[:axis], shifted, *inner[axis + 1 :])
            interior &= padded[window]
    corner = np.array([side.start for side in box], dtype=np.float64)
    border: Float64[np.ndarray, "points axes"] = np.argwhere(padded[inner] & ~interior) + corner
    return border


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(other for other in range(ndim) if other != axis)
