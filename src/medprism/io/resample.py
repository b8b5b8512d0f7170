"""Label numbers brought from one grid onto another through world space, by nearest neighbour."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Final

import numpy as np
import SimpleITK

from medprism.core.errors import GeometryError
from medprism.core.geometry import Geometry
from medprism.io.lps import swap_index_order
from medprism.io.mask_file import LabelArray, MaskFile

_log = logging.getLogger(__name__)

# SimpleITK's functions carry no annotations.
_sitk: Final[Any] = SimpleITK


def resample_mask(mask: MaskFile, onto: Geometry) -> MaskFile:
    """Return the labels on another grid: each voxel takes the label nearest to its centre.

    What lies outside the mask's own grid is background. Any affine will do, sheared ones too. A
    label of which nothing is left (thinner than the new spacing, or outside) is logged. The array
    of the result has three axes.

    Raises:
        GeometryError: a grid that knows no spacing, or labels none of which lies on the new grid.

    >>> here = Geometry((1, 2, 3), np.diag([1.0, 2.0, 2.0, 1.0]))
    >>> there = Geometry((1, 4, 6), np.diag([1.0, 1.0, 1.0, 1.0]))
    >>> mask = MaskFile(np.array([[[0, 3, 0], [0, 0, 5]]], np.uint8), here, {})
    >>> resample_mask(mask, there).array[0, 0].tolist()
    [0, 3, 3, 0, 0, 0]
    """
    for geometry in (mask.geometry, onto):
        if not geometry.is_physical:
            raise GeometryError(
                f"a mask on {mask.geometry.describe()} cannot be resampled onto "
                f"{onto.describe()}: one of them knows no spacing in mm; save both in a format "
                "that does (NIfTI, NRRD, MetaImage)"
            )
    source = mask.array.reshape(mask.geometry.shape)
    moved = _nearest(source, mask.geometry, onto)
    _report_lost(source, moved, mask, onto)
    covered = {
        number: _nearest(plane.reshape(source.shape).view(np.uint8), mask.geometry, onto) > 0
        for number, plane in mask.covered.items()
    }
    return replace(mask, array=moved, geometry=onto, covered=covered)


def _nearest(source: LabelArray, here: Geometry, there: Geometry) -> LabelArray:
    # ITK's images cannot be sheared, so both lie on unit grids and the transform between their
    # indices carries all of the geometry.
    between = np.linalg.solve(swap_index_order(here.affine), swap_index_order(there.affine))
    # Without the noise of the solution, centres that lie on an edge fall the same way always.
    to_source = np.round(between, 9)
    transform = _sitk.AffineTransform(3)
    transform.SetMatrix(to_source[:3, :3].ravel().tolist())
    transform.SetTranslation(to_source[:3, 3].tolist())
    stored = _sitk.GetImageFromArray(np.ascontiguousarray(source))
    moved = _sitk.Resample(
        stored,
        [int(length) for length in reversed(there.shape)],
        transform,
        _sitk.sitkNearestNeighbor,
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
        np.eye(3).ravel().tolist(),
        0.0,
        stored.GetPixelID(),
    )
    return np.asarray(_sitk.GetArrayFromImage(moved))


def _report_lost(source: LabelArray, moved: LabelArray, mask: MaskFile, onto: Geometry) -> None:
    before = set(np.unique(source[source > 0]).tolist())
    lost = sorted(before - set(np.unique(moved).tolist()))
    if before and len(lost) == len(before):
        raise GeometryError(
            f"no label of the mask on {mask.geometry.describe()} lies on {onto.describe()} even "
            "when it is resampled; do the two belong together?"
        )
    if lost:
        named = ", ".join(mask.names.get(number, f"label {number}") for number in lost[:8])
        _log.warning("nothing is left of %s after resampling", named)
