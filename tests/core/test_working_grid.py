"""World-correct both ways, in every orientation, on a phantom that is no mirror image of itself."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from medprism.core.errors import GeometryError
from medprism.core.geometry import Geometry
from medprism.core.working_grid import WorkingGrid, _weights, choose_spacing

ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def make_geometry(
    order: tuple[int, ...],
    signs: tuple[int, ...],
    spacing: tuple[float, ...] = (3.0, 0.8, 1.3),
    shape: tuple[int, int, int] = (14, 31, 22),
    tilt: float = 0.0,
) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, world in enumerate(order):
        affine[world, axis] = spacing[axis] * signs[axis]
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-31.0, 12.5, 77.0)
    return Geometry(shape, affine)


def world_of(geometry: Geometry) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    return index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]


def chiral(geometry: Geometry) -> np.ndarray:
    """Return three bars of different length from one corner, at fixed places in the world."""
    centre = world_of(geometry).reshape(-1, 3).mean(0)
    at = world_of(geometry) - centre
    arms = ((9.0, 4.0, 4.0), (4.0, 7.0, 4.0), (4.0, 4.0, 13.0))
    return np.any([np.all((at > -5) & (at < np.array(arm)), axis=-1) for arm in arms], axis=0)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_function_of_the_world_is_the_same_function_on_the_working_grid(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    source = make_geometry(order, signs, tilt=0.2)
    grid = WorkingGrid(source, 1.1)
    slope = np.array([0.3, -0.7, 0.45])
    image = (world_of(source) @ slope).astype(np.float32)
    expected = world_of(grid.geometry) @ slope
    found = grid.bring(image)
    assert found.shape == grid.shape == grid.geometry.shape
    assert grid.geometry.orientation == "SPL"
    np.testing.assert_allclose(grid.geometry.spacing, (1.1,) * 3)
    inner = np.all(
        [
            (place >= 1.0) & (place <= length - 2.0)
            for place, length in zip(
                np.moveaxis(
                    (world_of(grid.geometry) - source.affine[:3, 3])
                    @ np.linalg.inv(source.affine[:3, :3]).T,
                    -1,
                    0,
                ),
                source.shape,
                strict=True,
            )
        ],
        axis=0,
    )
    assert inner.mean() > 0.5
    # The filter that widens where voxels grow is off by up to a thirtieth of a voxel.
    step = float(np.abs(slope).sum()) * 1.1
    np.testing.assert_allclose(found[inner], expected[inner], atol=step / 30)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_map_comes_back_to_the_place_it_was(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    source = make_geometry(order, signs, tilt=-0.3)
    grid = WorkingGrid(source, 1.7)
    slope = np.array([-0.2, 0.6, 0.5])
    working = (world_of(grid.geometry) @ slope).astype(np.float32)
    back = grid.take_back(working)
    expected = world_of(source) @ slope
    assert back.shape == source.shape
    inner = (slice(2, -2), slice(3, -3), slice(2, -2))
    np.testing.assert_allclose(back[inner], expected[inner], atol=np.abs(slope).sum() * 1.7 / 30)


@pytest.mark.parametrize("spacing", [0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::7])
def test_a_mask_there_and_back_moves_by_no_more_than_half_a_voxel(
    order: tuple[int, ...], signs: tuple[int, ...], spacing: float
) -> None:
    source = make_geometry(order, signs)
    mask = chiral(source)
    grid = WorkingGrid(source, spacing)
    back = grid.take_back(grid.bring_mask(mask)) >= 0.5
    half = 0.5 * max(max(source.spacing), spacing)
    # In mm, from every voxel of one to the nearest of the other.
    to_mask = distance_transform_edt(~mask, sampling=source.spacing)
    to_back = distance_transform_edt(~back, sampling=source.spacing)
    slack = 0.5 * np.linalg.norm(source.spacing)
    assert to_back[mask].max() <= half + slack
    assert to_mask[back].max() <= half + slack
    assert 2 * (mask & back).sum() / (mask.sum() + back.sum()) > 0.93
    for axis in range(3):
        mirrored = np.flip(back, axis)
        assert (mirrored & mask).sum() < (back & mask).sum()


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::5])
def test_labelled_voxels_lie_in_the_working_voxel_around_their_place(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    source = make_geometry(order, signs)
    mask = chiral(source)
    grid = WorkingGrid(source, 1.0)
    share = grid.bring_mask(mask)
    for voxel in np.argwhere(mask)[::17]:
        place = grid.to_working(tuple(float(v) for v in voxel))
        nearest = tuple(np.clip(np.rint(place).astype(int), 0, np.array(grid.shape) - 1))
        # Half a voxel at most from the centre, which the mask covers in part at least.
        assert np.abs(np.array(place) - nearest).max() <= 0.5 + 1e-6
        assert share[nearest] > 0


def test_the_same_spacing_changes_nothing() -> None:
    source = make_geometry((2, 1, 0), (1, -1, -1), spacing=(1.5, 1.5, 1.5))
    grid = WorkingGrid(source, 1.5)
    rng = np.random.default_rng(3)
    image = rng.normal(size=source.shape).astype(np.float32)
    labels = rng.integers(0, 5, source.shape)
    np.testing.assert_array_equal(grid.bring(image), image)
    np.testing.assert_array_equal(grid.bring_labels(labels), labels)
    np.testing.assert_array_equal(grid.take_back(image), image)


def test_labels_are_those_that_cover_most_of_a_voxel() -> None:
    source = Geometry((2, 2, 4), np.diag([1.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]])
    labels = np.array([[[1, 1, 0, 0], [1, 2, 0, 3]], [[2, 2, 0, 0], [2, 2, 0, 0]]])
    grid = WorkingGrid(source, 2.0)
    assert sorted(grid.bring_labels(labels).ravel().tolist()) == [0, 2]
    with pytest.raises(GeometryError, match="label 301"):
        grid.bring_labels(labels + 298)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 40),
    spacing=st.floats(0.2, 9.0),
    working=st.floats(0.3, 6.0),
    flip=st.booleans(),
)
def test_the_working_grid_covers_the_source_and_shares_its_centre(
    length: int, spacing: float, working: float, flip: bool
) -> None:
    affine = np.diag([1.0, 1.0, spacing, 1.0])[:, [2, 1, 0, 3]]
    affine[2, 0] *= -1 if flip else 1
    source = Geometry((length, 3, 3), affine)
    grid = WorkingGrid(source, working)
    covered = grid.shape[0] * working
    assert covered >= length * spacing - 1e-4 * working
    assert covered - working < length * spacing or grid.shape[0] == 1
    middle = tuple((n - 1) / 2 for n in source.shape)
    there = tuple((n - 1) / 2 for n in grid.shape)
    np.testing.assert_allclose(grid.to_working(middle), there, atol=1e-6)
    for is_area in (False, True):
        weights = _weights(grid._places(0), length, grid.ratios[0], is_area=is_area)
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_what_has_no_place_in_the_world_is_refused() -> None:
    with pytest.raises(GeometryError, match="knows no spacing"):
        WorkingGrid(Geometry.pixels((3, 4, 5)), 1.0)
    source = make_geometry((0, 1, 2), (1, 1, 1))
    with pytest.raises(GeometryError, match="above 0"):
        WorkingGrid(source, 0.0)
    with pytest.raises(GeometryError, match="larger working spacing"):
        WorkingGrid(source, 1e-4)
    with pytest.raises(GeometryError, match="does not lie"):
        WorkingGrid(source, 1.0).bring(np.zeros((3, 3, 3), np.float32))
    with pytest.raises(GeometryError, match="does not lie"):
        WorkingGrid(source, 1.0).take_back(np.zeros((3, 3, 3), np.float32))


def test_small_volumes_are_worked_on_as_finely_as_they_were_taken() -> None:
    thick = make_geometry((0, 1, 2), (1, 1, 1), (10.0, 1.0, 1.0), (10, 256, 216))
    assert choose_spacing([thick], 64, 1.5) == 1.5
    tiny = make_geometry((0, 1, 2), (1, 1, 1), (0.5, 0.5, 0.5), (40, 60, 30))
    # 30 mm over 64 voxels would be finer than 0.5 mm.
    assert choose_spacing([tiny], 64, 1.5) == 0.5
    assert choose_spacing([tiny], 32, 1.5) == 0.9375
    with pytest.raises(GeometryError, match="none of 1 volumes"):
        choose_spacing([Geometry.pixels((3, 4, 5))], 64, 1.5)
