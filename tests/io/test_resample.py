from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import GeometryError
from medprism.core.geometry import TOLERANCE_VOXELS, Geometry
from medprism.core.image import Image
from medprism.io.mask_file import MaskFile
from medprism.io.reader import read_mask
from medprism.io.resample import resample_mask
from medprism.io.writer import write_mask
from tests.io.phantoms import SHAPE, image_on, labels, orientations, oriented

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
HERE = oriented((0, 1, 2), (1.0, 1.0, 1.0))


def mask_on(geometry: Geometry) -> MaskFile:
    """Return the chiral labels on a grid."""
    merged = labels(geometry.shape).to_map()
    return MaskFile(merged.array, geometry, merged.names)


def literally(mask: MaskFile, onto: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Look every voxel up one by one; also say which centres lie too near an edge to compare."""
    found = np.zeros(onto.shape, mask.array.dtype)
    is_certain = np.ones(onto.shape, bool)
    for voxel in itertools.product(*map(range, onto.shape)):
        world = onto.voxel_to_world((float(voxel[0]), float(voxel[1]), float(voxel[2])))
        at = np.array(mask.geometry.world_to_voxel(world))
        is_certain[voxel] = bool((np.abs(at - np.floor(at) - 0.5) > 1e-6).all())
        nearest = np.floor(at + 0.5).astype(int)
        if (nearest >= 0).all() and (nearest < mask.array.shape).all():
            found[voxel] = mask.array[tuple(nearest)]
    return found, is_certain


@settings(max_examples=25, deadline=None)
@given(
    axes=st.sampled_from(list(orientations())),
    spacing=st.tuples(*[st.sampled_from([0.6, 0.9, 1.7, 3.1])] * 3),
    turn=st.floats(-1.5, 1.5),
    shear=st.sampled_from([0.0, 0.25]),
    offset=st.tuples(*[st.floats(-2.0, 2.0)] * 3),
)
def test_every_voxel_takes_the_nearest_label_in_the_world(
    axes: tuple[tuple[int, ...], tuple[float, ...]],
    spacing: tuple[float, float, float],
    turn: float,
    shear: float,
    offset: tuple[float, float, float],
) -> None:
    here = mask_on(oriented(*axes, turn=turn, shear=shear))
    onto = oriented((0, 1, 2), (1.0, 1.0, 1.0), spacing=spacing, shape=(5, 8, 7))
    # Lay the middle of the new grid near the middle of the old one.
    middle = here.geometry.voxel_to_world((1.47, 2.56, 4.03))
    affine = onto.affine.copy()
    affine[:3, 3] += np.add(middle, offset) - onto.voxel_to_world((2.0, 3.5, 3.0))
    onto = Geometry(onto.shape, affine)
    expected, is_certain = literally(here, onto)
    if not expected.any():
        with pytest.raises(GeometryError, match="even when it is resampled"):
            resample_mask(here, onto)
        return
    moved = resample_mask(here, onto)
    assert moved.geometry is onto
    assert moved.names == here.names
    assert moved.array.dtype == here.array.dtype
    np.testing.assert_array_equal(moved.array[is_certain], expected[is_certain])
    assert is_certain.mean() > 0.5


def test_it_is_what_itk_does_with_the_same_files(tmp_path: Path) -> None:
    here = oriented((2, 0, 1), (1.0, -1.0, 1.0), turn=0.4)
    onto = oriented((1, 2, 0), (1.0, 1.0, 1.0), turn=0.3, spacing=(1.1, 1.7, 0.9), shape=(7, 9, 5))
    affine = onto.affine.copy()
    affine[:3, 3] += np.subtract(
        here.voxel_to_world((1.5, 2.5, 4.0)), onto.voxel_to_world((3.0, 4.0, 2.0))
    )
    image = image_on(Geometry(onto.shape, affine))
    write_mask(tmp_path / "m.nrrd", labels(), image_on(here))
    write_mask(tmp_path / "like.nrrd", labels(onto.shape), image)
    stored, like = (SimpleITK.ReadImage(str(tmp_path / f"{name}.nrrd")) for name in ("m", "like"))
    nearest = SimpleITK.sitkNearestNeighbor
    expected = SimpleITK.Resample(stored, like, SimpleITK.Transform(), nearest, 0)
    moved = read_mask(tmp_path / "m.nrrd", image, resample=True)
    assert moved.array.any()
    np.testing.assert_array_equal(moved.array, SimpleITK.GetArrayFromImage(expected))


@pytest.mark.parametrize(
    "other",
    [
        oriented((0, 1, 2), (1.0, 1.0, 1.0), turn=0.1),
        oriented((0, 1, 2), (1.0, 1.0, 1.0), spacing=(2.5, 0.8, 1.3)),
        oriented((0, 1, 2), (1.0, 1.0, 1.0), shape=(5, 6, 9)),
        Geometry(HERE.shape, HERE.affine + np.outer([0.02, 0, 0, 0], [0, 0, 0, 1])),
        Geometry(HERE.shape, HERE.affine + np.outer([1.3, 0, 0, 0], [0, 0, 0, 1])),
    ],
    ids=["rotated", "spaced", "longer", "a little offset", "offset by a voxel"],
)
def test_another_grid_is_refused_with_both_and_the_tolerance_unless_resampled(
    tmp_path: Path, other: Geometry
) -> None:
    path = tmp_path / "m.nii.gz"
    write_mask(path, labels(), image_on(HERE))
    image = image_on(other)
    with pytest.raises(GeometryError) as caught:
        read_mask(path, image)
    message = str(caught.value)
    assert HERE.describe() in message and other.describe() in message
    assert f"{TOLERANCE_VOXELS:g} voxels" in message
    assert "--resample" in message
    moved = read_mask(path, image, resample=True)
    assert moved.geometry is image.geometry
    assert dict(moved.names) == {1: "left lung", 2: "Tümor"}
    expected, is_certain = literally(mask_on(HERE), other)
    np.testing.assert_array_equal(moved.array[is_certain], expected[is_certain])


def test_what_lies_within_the_tolerance_is_the_same_grid(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.nii.gz", labels(), image_on(HERE))
    shift = 0.9 * TOLERANCE_VOXELS * min(HERE.spacing)
    near = Geometry(HERE.shape, HERE.affine + np.outer([shift, 0, 0, 0], [0, 0, 0, 1]))
    for resample in (True, False):
        found = read_mask(tmp_path / "m.nii.gz", image_on(near), resample=resample)
        np.testing.assert_array_equal(found.array, labels().to_map().array)


def test_a_picture_in_space_is_resampled_as_one_slice(tmp_path: Path) -> None:
    fine = Image.from_array(np.zeros((6, 9), np.uint8), affine=np.diag([2.0, 1.0, 1.0, 1.0]))
    coarse = Image.from_array(np.zeros((3, 5), np.uint8), affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    write_mask(tmp_path / "m.nii", labels((6, 9)), fine)
    moved = read_mask(tmp_path / "m.nii", coarse, resample=True).array
    np.testing.assert_array_equal(moved, labels((6, 9)).to_map().array[::2, ::2])


def test_without_spacing_there_is_nothing_to_resample_by(tmp_path: Path) -> None:
    picture = Image.from_array(np.zeros((6, 9), np.uint8))
    write_mask(tmp_path / "m.png", labels((6, 9)), picture)
    for other in (image_on(HERE), Image.from_array(np.zeros((7, 9), np.uint8))):
        with pytest.raises(GeometryError, match="without a spacing in both"):
            read_mask(tmp_path / "m.png", other)
        with pytest.raises(GeometryError, match=r"m\.png: .* knows no spacing in mm"):
            read_mask(tmp_path / "m.png", other, resample=True)


def test_labels_that_vanish_are_told_and_a_mask_elsewhere_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    coarse = Geometry((2, 2, 3), HERE.affine @ np.diag([2.0, 3.0, 3.0, 1.0]))
    mask = mask_on(HERE)
    thin = np.zeros(SHAPE, np.uint8)
    thin[0, 0, 0], thin[0, 1, 1] = 1, 2
    with caplog.at_level(logging.WARNING):
        moved = resample_mask(MaskFile(thin, HERE, mask.names), coarse)
    assert np.unique(moved.array).tolist() == [0, 1]
    assert "nothing is left of Tümor" in caplog.text
    empty = MaskFile(np.zeros(SHAPE, np.uint8), HERE, {})
    assert not resample_mask(empty, coarse).array.any()
    far = Geometry(SHAPE, HERE.affine + np.outer([500.0, 0, 0, 0], [0, 0, 0, 1]))
    with pytest.raises(GeometryError) as caught:
        resample_mask(mask, far)
    assert HERE.describe() in str(caught.value) and far.describe() in str(caught.value)
