from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_dice
from sklearn.metrics import f1_score

from medprism.core.errors import GeometryError
from medprism.metrics.dice import dice, dice_of_counts
from medprism.metrics.overlap import Overlap, count_overlap

from .phantoms import pair


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.02, 0.98))
@settings(max_examples=50, deadline=None)
def test_equals_scikit_learn(seed: int, density: float) -> None:
    mask, reference = np.random.default_rng(seed).random((2, 5, 9)) < density
    expected = f1_score(reference.ravel(), mask.ravel(), zero_division=1.0)
    assert dice(mask, reference) == pytest.approx(expected, abs=1e-12)
    assert dice(mask, reference) == dice(reference, mask)


@pytest.mark.parametrize("shape", [(40, 57), (12, 20, 31)])
def test_equals_monai(shape: tuple[int, ...]) -> None:
    mask, reference = pair(1, shape)
    planes = [torch.from_numpy(plane)[None, None].float() for plane in (mask, reference)]
    assert dice(mask, reference) == pytest.approx(compute_dice(*planes).item(), abs=1e-6)


def test_empty_masks() -> None:
    nothing, something = np.zeros((4, 6), bool), np.eye(4, 6, dtype=bool)
    assert dice(nothing, nothing) == 1.0
    assert dice(nothing, something) == dice(something, nothing) == 0.0


def test_counts_of_slices_add_up_to_the_volume() -> None:
    mask, reference = pair(3, (9, 20, 31))
    slices = [count_overlap(a, b) for a, b in zip(mask, reference, strict=True)]
    total = Overlap(
        sum(one.mask for one in slices),
        sum(one.reference for one in slices),
        sum(one.common for one in slices),
    )
    assert dice_of_counts(total) == dice(mask, reference)


def test_other_grids_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(GeometryError, match=r"\(4, 6\).*\(1, 6\)"):
        dice(np.ones((4, 6), bool), np.ones((1, 6), bool))
