from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss

from medprism.core.randomness import counter_rng
from medprism.metrics.certainty import certainty


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(3, 20), width=st.integers(3, 20))
def test_it_is_the_soft_dice_of_monai(seed: int, height: int, width: int) -> None:
    probability = counter_rng(seed, "map").random((height, width)).astype(np.float32)
    mask = probability >= 0.5
    mask[1, 2] = True
    loss = DiceLoss(smooth_nr=0.0, smooth_dr=0.0)
    truth = torch.from_numpy(mask.astype(np.float32))[None, None]
    expected = 1 - float(loss(torch.from_numpy(probability)[None, None], truth))
    assert certainty(probability, mask) == pytest.approx(expected, abs=1e-5)


def test_pixels_between_make_it_lower() -> None:
    mask = np.zeros((9, 13), bool)
    mask[2:5, 3:9] = True
    sure = np.where(mask, 0.99, 0.01).astype(np.float32)
    unsure = np.where(mask, 0.7, 0.3).astype(np.float32)
    assert 0 < certainty(unsure, mask) < certainty(sure, mask) < 1


def test_an_empty_mask_is_certain_where_nothing_is_near() -> None:
    nothing = np.zeros((9, 13), bool)
    assert certainty(np.zeros((9, 13), np.float32), nothing) == 1.0
    assert certainty(np.full((9, 13), 0.25, np.float32), nothing) == pytest.approx(0.5)
    assert certainty(np.full((9, 13), 0.8, np.float32), nothing) == 0.0
