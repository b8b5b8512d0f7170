from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from medprism.core.errors import GeometryError
from medprism.metrics.surface import hausdorff_95, surface_dice, surface_distances

from .phantoms import pair

# MONAI 1.6 calls its own deprecated option.
pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")

CASES = [((40, 57), (1.0, 1.0)), ((40, 57), (0.7, 2.5)), ((12, 20, 31), (3.0, 0.8, 1.1))]


def _as_monai(plane: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(plane)[None, None].float()


@pytest.mark.parametrize(("shape", "spacing"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_hausdorff_equals_monai(
    seed: int, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    mask, reference = pair(seed, shape)
    expected = compute_hausdorff_distance(
        _as_monai(mask),
        _as_monai(reference),
        include_background=True,
        percentile=95,
        spacing=list(spacing),
    )
    assert hausdorff_95(mask, reference, spacing) == pytest.approx(expected.item(), rel=1e-5)
    assert hausdorff_95(mask, reference, spacing) > 0


@pytest.mark.parametrize(("shape", "spacing"), CASES)
@pytest.mark.parametrize("tolerance", [0.0, 1.05, 2.3])
def test_surface_dice_equals_monai(
    shape: tuple[int, ...], spacing: tuple[float, ...], tolerance: float
) -> None:
    mask, reference = pair(5, shape)
    expected = compute_surface_dice(
        _as_monai(mask),
        _as_monai(reference),
        class_thresholds=[tolerance],
        include_background=True,
        spacing=list(spacing),
    )
    found = surface_dice(mask, reference, spacing, tolerance)
    assert found == pytest.approx(expected.item(), rel=1e-5)
    assert 0 < found < 1


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.05, 1.0))
@settings(max_examples=40, deadline=None)
def test_distances_equal_the_transform_of_the_whole_grid(seed: int, density: float) -> None:
    spacing = (0.9, 1.7)
    masks = np.random.default_rng(seed).random((2, 7, 11)) < density
    masks[0, 2, 3] = masks[1, 5, 1] = True
    borders = [plane & ~ndimage.binary_erosion(plane) for plane in masks]
    found = surface_distances(masks[0], masks[1], spacing)
    for one_way, here, there in (
        (found.to_reference, borders[0], borders[1]),
        (found.to_mask, borders[1], borders[0]),
    ):
        expected = ndimage.distance_transform_edt(~there, sampling=spacing)[here]
        np.testing.assert_allclose(one_way, expected, atol=1e-12)


def test_equal_masks_have_no_distance() -> None:
    mask, _ = pair(2, (30, 44))
    assert hausdorff_95(mask, mask, (1.3, 0.4)) == 0.0
    assert surface_dice(mask, mask, (1.3, 0.4), 0.0) == 1.0


def test_empty_masks_give_finite_numbers() -> None:
    nothing, something = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    something[3:7, 10:21] = True
    assert hausdorff_95(nothing, nothing, (1.0, 1.0)) == 0.0
    assert surface_dice(nothing, nothing, (1.0, 1.0), 1.0) == 1.0
    for one, other in ((nothing, something), (something, nothing)):
        assert hausdorff_95(one, other, (2.0, 0.5)) == math.hypot(60.0, 20.0)
        assert surface_dice(one, other, (2.0, 0.5), 100.0) == 0.0


def test_spacing_belongs_to_its_axis() -> None:
    mask = np.zeros((20, 33), bool)
    mask[4:9, 5:20] = True
    assert hausdorff_95(mask, np.roll(mask, 3, axis=0), (2.0, 0.1)) == pytest.approx(6.0)
    assert hausdorff_95(mask, np.roll(mask, 3, axis=1), (2.0, 0.1)) == pytest.approx(0.3)


def test_what_does_not_fit_is_refused() -> None:
    mask = np.ones((4, 6), bool)
    for other, spacing in (
        (np.ones((6, 4), bool), (1.0, 1.0)),
        (mask, (1.0, 1.0, 1.0)),
        (mask, (1.0, 0.0)),
    ):
        with pytest.raises(GeometryError, match="do not fit"):
            hausdorff_95(mask, other, spacing)
