from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from medprism.core.errors import GeometryError
from medprism.metrics.overlap import count_overlap, iou

from .phantoms import pair


@pytest.mark.parametrize("shape", [(40, 57), (12, 20, 31)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed: int, shape: tuple[int, ...]) -> None:
    mask, reference = pair(seed, shape)
    flat = reference.ravel(), mask.ravel()
    assert iou(mask, reference) == pytest.approx(jaccard_score(*flat), abs=1e-12)
    (_, excess), (missed, common) = confusion_matrix(*flat)
    counts = count_overlap(mask, reference)
    assert (counts.common, counts.mask, counts.reference) == (
        common,
        common + excess,
        common + missed,
    )


def test_empty_masks() -> None:
    nothing, something = np.zeros((4, 6), bool), np.eye(4, 6, dtype=bool)
    assert iou(nothing, nothing) == 1.0
    assert iou(nothing, something) == 0.0


def test_other_grids_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(GeometryError, match="one grid"):
        iou(np.ones((4, 6), bool), np.ones((4, 1), bool))
