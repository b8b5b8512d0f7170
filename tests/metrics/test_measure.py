from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from skimage.draw import ellipse
from skimage.measure import label, regionprops

from medprism.core.errors import GeometryError
from medprism.metrics.measure import Measurement, diameters_of, measure

from .phantoms import blobs


def _brute_force(mask: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float]:
    """Compare every pair of side midpoints of every pixel."""
    pixels = np.argwhere(mask)[:, None] + np.array([[0, 0.5], [0, -0.5], [0.5, 0], [-0.5, 0]])
    points = pixels.reshape(-1, 2) * spacing
    longest, width = 0.0, 0.0
    for first in points:
        for second in points:
            length = math.dist(first, second)
            if length < longest * (1 - 1e-9) or length == 0:
                continue
            normal = np.array([second[1] - first[1], first[0] - second[0]]) / length
            across = float(np.ptp(points @ normal))
            ties = length <= longest * (1 + 1e-9)
            width = max(width, across) if ties else across
            longest = max(longest, length)
    return longest, width


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 6),
    width=st.integers(1, 7),
    spacing=st.sampled_from([(1.0, 1.0), (0.7, 2.1)]),
)
@settings(max_examples=40, deadline=None)
def test_diameters_equal_brute_force(
    seed: int, height: int, width: int, spacing: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.3
    mask[rng.integers(height), rng.integers(width)] = True
    longest, across = diameters_of(mask, spacing)
    expected = _brute_force(mask, spacing)
    assert longest == pytest.approx(expected[0], rel=1e-9)
    assert across == pytest.approx(expected[1], rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_longest_diameter_equals_all_pairs_and_agrees_with_scikit_image(seed: int) -> None:
    mask = label(blobs(seed, (60, 84), 5.0)) == 1
    outline = np.argwhere(mask)[:, None] + np.array([[0, 0.5], [0, -0.5], [0.5, 0], [-0.5, 0]])
    longest, _ = diameters_of(mask, (1.0, 1.0))
    assert longest == pytest.approx(pdist(outline.reshape(-1, 2)).max(), rel=1e-12)
    # scikit-image measures the pixels of the hull's image: up to half a pixel more at each end.
    feret = regionprops(mask.astype(int))[0].feret_diameter_max
    assert longest - 1e-9 <= feret <= longest + 1.0


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.1, 2.5])
def test_an_ellipse_has_its_axes(angle: float) -> None:
    mask = np.zeros((200, 260), bool)
    mask[ellipse(90, 120, 70, 40, shape=mask.shape, rotation=angle)] = True
    longest, across = diameters_of(mask, (0.5, 0.5))
    assert longest == pytest.approx(70, abs=1.0)
    assert across == pytest.approx(40, abs=1.0)


def test_diameters_do_not_depend_on_mirroring_or_transposing() -> None:
    mask = blobs(9, (40, 57), 5.0)
    expected = pytest.approx(diameters_of(mask, (0.8, 1.9)), rel=1e-12)
    assert diameters_of(mask[::-1], (0.8, 1.9)) == expected
    assert diameters_of(mask[:, ::-1], (0.8, 1.9)) == expected
    assert diameters_of(mask.T, (1.9, 0.8)) == expected


@pytest.mark.parametrize("shape", [(1, 40, 57), (7, 30, 44)])
def test_the_rest_equals_scikit_image(shape: tuple[int, int, int]) -> None:
    spacing = (2.5, 0.8, 1.1)
    mask = blobs(4, shape)
    found = measure(mask, spacing)
    whole = regionprops(mask.astype(int), spacing=spacing)[0]
    assert found.num_voxels == whole.num_pixels
    assert found.volume_ml == pytest.approx(whole.area / 1000)
    slices = [regionprops(plane.astype(int), spacing=spacing[1:])[0] for plane in mask]
    assert found.area_mm2 == pytest.approx(max(plane.area for plane in slices))
    assert found.num_components == label(mask, connectivity=1).max()
    diameters = [diameters_of(plane, spacing[1:]) for plane in mask]
    assert (found.longest_mm, found.perpendicular_mm) == max(diameters)


def test_a_single_voxel_has_its_own_size() -> None:
    mask = np.zeros((3, 5, 8), bool)
    mask[1, 4, 7] = True
    assert measure(mask, (4.0, 2.0, 1.0)) == Measurement(
        num_voxels=1,
        area_mm2=2.0,
        volume_ml=0.008,
        longest_mm=2.0,
        perpendicular_mm=1.0,
        num_components=1,
    )


def test_an_empty_mask_measures_zero() -> None:
    nothing = np.zeros((2, 5, 8), bool)
    assert measure(nothing, (1.0, 1.0, 1.0)) == Measurement(0, 0.0, 0.0, 0.0, 0.0, 0)
    assert diameters_of(nothing[0], (1.0, 1.0)) == (0.0, 0.0)


def test_a_spacing_that_is_not_positive_is_refused() -> None:
    with pytest.raises(GeometryError, match="must be positive"):
        measure(np.ones((1, 2, 3), bool), (1.0, 0.0, 1.0))
