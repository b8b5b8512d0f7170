"""Between the two conventions of world axes: DICOM and ITK use LPS, NIfTI and we use RAS."""

from __future__ import annotations

from typing import Final

import numpy as np

from medprism.core.geometry import Affine

# Left and posterior are the positive directions of the first two axes in LPS.
_FLIP: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def swap_world(affine: Affine) -> Affine:
    """Return an LPS affine as RAS, or the other way round; the swap is its own inverse.

    >>> swap_world(np.eye(4)).diagonal().tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """
    return np.asarray(_FLIP @ affine)


def swap_index_order(affine: Affine) -> Affine:
    """Reorder the columns between (i, j, k) and our (slice, row, col); its own inverse.

    >>> swap_index_order(np.diag([1.0, 2.0, 3.0, 1.0]))[:3, 0].tolist()
    [0.0, 0.0, 3.0]
    """
    return np.ascontiguousarray(affine[:, [2, 1, 0, 3]])
