from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from medprism.core.errors import GeometryError
from medprism.metrics.overlap import Overlap, count_overlap, iou, iou_of_counts, miou_fg_bg

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


def test_miou_of_a_whole_set_equals_scikit_learn_on_all_pixels_together() -> None:
    pairs = [pair(seed, (40, 57)) for seed in range(3)]
    counts = [count_overlap(*one) for one in pairs]
    whole = Overlap(
        mask=sum(one.mask for one in counts),
        reference=sum(one.reference for one in counts),
        common=sum(one.common for one in counts),
    )
    mask, reference = (np.concatenate([one[k].ravel() for one in pairs]) for k in (0, 1))
    expected = jaccard_score(reference, mask, average="macro")
    assert miou_fg_bg(whole, mask.size) == pytest.approx(expected, abs=1e-12)
    assert iou_of_counts(whole) == pytest.approx(jaccard_score(reference, mask), abs=1e-12)


def test_miou_where_one_side_is_empty() -> None:
    assert miou_fg_bg(Overlap(0, 0, 0), 12) == 1.0
    assert miou_fg_bg(Overlap(12, 12, 12), 12) == 1.0
    assert miou_fg_bg(Overlap(6, 0, 0), 12) == 0.25
    with pytest.raises(GeometryError, match="7 pixels on a grid of 6"):
        miou_fg_bg(Overlap(4, 4, 1), 6)
