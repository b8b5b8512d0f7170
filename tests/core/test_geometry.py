from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medprism.core.errors import GeometryError
from medprism.core.geometry import Geometry

SHAPE = (3, 5, 7)


def oblique(seed: int, spacing: tuple[float, float, float], shear: float = 0.0) -> Geometry:
    affine = np.eye(4)
    skew = np.array([[1.0, shear, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    affine[:3, :3] = Rotation.random(rng=np.random.default_rng(seed)).as_matrix() @ skew
    affine[:3, :3] *= spacing
    affine[:3, 3] = (-31.5, 12.25, 190.0)
    return Geometry(SHAPE, affine)


spacings = st.tuples(*[st.floats(0.1, 8.0)] * 3)
seeds = st.integers(0, 10_000)


@given(seeds, spacings)
def test_spacing_is_the_length_of_each_axis(seed: int, spacing: tuple[float, float, float]) -> None:
    assert oblique(seed, spacing).spacing == pytest.approx(spacing)


@given(seeds, spacings, st.floats(0.0, 0.6))
def test_orientation_equals_nibabel(
    seed: int, spacing: tuple[float, float, float], shear: float
) -> None:
    geometry = oblique(seed, spacing, shear)
    assert geometry.orientation == "".join(nib.aff2axcodes(geometry.affine))


def test_orientation_names_all_48_axis_orders() -> None:
    found = set()
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = 0.0
            affine[list(order), range(3)] = np.multiply(signs, (0.7, 1.1, 2.5))
            found.add(Geometry(SHAPE, affine).orientation)
    assert len(found) == 48


@given(seeds, spacings, st.tuples(*[st.floats(-50, 50)] * 3))
def test_world_and_voxel_are_inverse(
    seed: int, spacing: tuple[float, float, float], voxel: tuple[float, float, float]
) -> None:
    geometry = oblique(seed, spacing, 0.3)
    world = geometry.voxel_to_world(voxel)
    np.testing.assert_allclose(world, (geometry.affine @ [*voxel, 1.0])[:3], atol=1e-9)
    np.testing.assert_allclose(geometry.world_to_voxel(world), voxel, atol=1e-8)


@given(seeds, spacings, st.sampled_from([0.004, 0.02]))
def test_matches_is_a_bound_on_the_shift_of_voxels(
    seed: int, spacing: tuple[float, float, float], share: float
) -> None:
    geometry = oblique(seed, spacing)
    moved = geometry.affine.copy()
    moved[0, 3] += share * min(spacing)
    assert geometry.matches(Geometry(SHAPE, moved)) is (share < 0.01)


def test_matches_looks_at_every_corner_and_at_the_shape() -> None:
    geometry = oblique(5, (2.0, 0.5, 0.75))
    stretched = geometry.affine.copy()
    stretched[:3, 2] *= 1.01
    assert not geometry.matches(Geometry(SHAPE, stretched))
    assert not geometry.matches(Geometry((3, 7, 5), geometry.affine))
    assert geometry.matches(Geometry(SHAPE, geometry.affine.astype(np.float32).astype(float)))


def test_the_thickness_of_a_single_slice_does_not_matter() -> None:
    thin, thick = np.eye(4), np.diag([5.0, 1.0, 1.0, 1.0])
    assert Geometry((1, 4, 6), thin).matches(Geometry((1, 4, 6), thick))


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300, np.nan, np.inf])
def test_an_affine_without_volume_is_refused(value: float) -> None:
    affine = np.eye(4)
    affine[1, 1] = value
    with pytest.raises(GeometryError, match="does not span three dimensions; mend"):
        Geometry(SHAPE, affine)


def test_two_parallel_axes_are_refused() -> None:
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 2]
    with pytest.raises(GeometryError, match="three dimensions"):
        Geometry(SHAPE, affine)


def test_describe_names_the_unit() -> None:
    assert Geometry.pixels((1, 4, 6)).describe() == (
        "(1, 4, 6) voxels of 1 x 1 x 1 pixels, SPL, origin (0, 0, 0)"
    )
    assert "mm" in oblique(0, (1.0, 1.0, 1.0)).describe()


@settings(max_examples=20)
@given(seeds)
def test_describe_survives_any_rotation(seed: int) -> None:
    geometry = oblique(seed, (3.0, 0.4, 0.4))
    assert geometry.orientation in geometry.describe()
