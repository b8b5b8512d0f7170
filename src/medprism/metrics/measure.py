"""What is reported about a mask: area, volume, diameters, number of pieces.

Lengths run between the outer edges of pixels (the midpoints of their sides), so that a single
pixel of 1 mm is 1 mm long. Where spacing is in pixels, so are the lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import ndimage

from medprism.core.errors import GeometryError


@dataclass(frozen=True)
class Measurement:
    """Statistics of one mask; all are 0 for an empty one.

    `area_mm2` is that of the largest slice. `longest_mm` is the longest diameter on any slice and
    `perpendicular_mm` the width across it on the same slice. `num_components` counts pieces that
    touch by faces (edges of pixels in a single slice).
    """

    num_voxels: int
    area_mm2: float
    volume_ml: float
    longest_mm: float
    perpendicular_mm: float
    num_components: int


def measure(
    mask: Bool[np.ndarray, "slices height width"], spacing: tuple[float, float, float]
) -> Measurement:
    """Measure a mask with a spacing in mm along slice, row and col.

    Raises:
        GeometryError: a spacing that is not positive.

    >>> mask = np.zeros((2, 6, 9), bool); mask[1, 2:4, 3:8] = True
    >>> measure(mask, (3.0, 1.0, 2.0)).volume_ml
    0.06
    """
    if min(spacing) <= 0:
        raise GeometryError(f"spacing {spacing} mm must be positive along every axis")
    per_slice = np.count_nonzero(mask, axis=(1, 2))
    num_voxels = int(per_slice.sum())
    if num_voxels == 0:
        return Measurement(0, 0.0, 0.0, 0.0, 0.0, 0)
    in_plane = (spacing[1], spacing[2])
    diameters = [diameters_of(mask[index], in_plane) for index in np.flatnonzero(per_slice)]
    longest, perpendicular = max(diameters)
    pixel_area = spacing[1] * spacing[2]
    return Measurement(
        num_voxels=num_voxels,
        area_mm2=int(per_slice.max()) * pixel_area,
        volume_ml=num_voxels * pixel_area * spacing[0] / 1000.0,
        longest_mm=longest,
        perpendicular_mm=perpendicular,
        num_components=int(ndimage.label(mask)[1]),
    )


def diameters_of(
    mask: Bool[np.ndarray, "height width"], spacing: tuple[float, float]
) -> tuple[float, float]:
    """Return the longest diameter of a slice and the width perpendicular to it, in mm.

    The longest diameter is the greatest distance of two points of the mask, inside it or not; the
    width is that of the convex hull between calipers along it. Of several longest diameters the
    one with the greatest width counts. An empty mask gives zeros.

    >>> mask = np.zeros((6, 9), bool); mask[2, 1:8] = True
    >>> diameters_of(mask, (1.0, 2.0))
    (14.0, 1.0)
    """
    half_steps = _edge_midpoints(mask)
    if len(half_steps) == 0:
        return 0.0, 0.0
    # Whole half steps: the hull is exact, and stretching by the spacing keeps its corners.
    corners = np.asarray(cv2.convexHull(half_steps.astype(np.int32))).reshape(-1, 2)
    points = corners * (np.asarray(spacing) / 2)
    offsets: Float64[np.ndarray, "corners corners 2"] = points[:, None] - points[None]
    lengths = np.hypot(offsets[..., 0], offsets[..., 1])
    longest = float(lengths.max())
    first, second = np.nonzero(np.triu(lengths >= longest * (1 - 1e-9)))
    along = offsets[first, second] / longest
    across = points @ np.stack([-along[:, 1], along[:, 0]])
    return longest, float(np.ptp(across, axis=0).max())


def _edge_midpoints(mask: Bool[np.ndarray, "height width"]) -> Int[np.ndarray, "points 2"]:
    """Return midpoints of the outer pixel sides that the hull can touch, in half pixels.

    Only the first and last pixel of each row and column can be on the hull.
    """
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    left, right = mask[rows].argmax(1), width - 1 - mask[rows, ::-1].argmax(1)
    top, bottom = mask[:, cols].argmax(0), height - 1 - mask[::-1, cols].argmax(0)
    ends = [
        (2 * rows, 2 * left - 1),
        (2 * rows, 2 * right + 1),
        (2 * top - 1, 2 * cols),
        (2 * bottom + 1, 2 * cols),
    ]
    return np.concatenate([np.stack(end, axis=1) for end in ends])
