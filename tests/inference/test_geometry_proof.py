"""From a file through a session to a file: every labelled voxel stays where it is in the world.

Images are written, and masks read, by nibabel, SimpleITK and pydicom alone, never by our own code,
so that a mistake which reader and writer share cannot cancel out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.geometry import Geometry
from medprism.inference.knowledge import Knowledge, PointMark, ask, teach
from medprism.inference.session import Session
from tests.inference.identity_segmenter import CONCEPTS, identity_model
from tests.io.phantoms import ct_slice, orientations, oriented

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
# A quarter of the canvas of 64 pixels, and all of the canvas of 16.
SHAPE = (5, 11, 16)
LONG_SIDES = (16, 64)
DTYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")
# Header numbers of NIfTI are single precision: a few hundred mm keep four decimals.
TOLERANCE_MM = 5e-4
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

Axes = tuple[tuple[int, ...], tuple[float, ...]]
Points = np.ndarray


@dataclass(frozen=True)
class Scene:
    """One combination: how the grid lies, of what type the intensities are, in which file."""

    axes: Axes
    spacing: tuple[float, float, float]
    turn: float
    shear: float
    dtype: str
    suffix: str
    long_side: int

    @property
    def geometry(self) -> Geometry:
        """The grid, in RAS."""
        return oriented(
            *self.axes, spacing=self.spacing, turn=self.turn, shear=self.shear, shape=SHAPE
        )


def numbers() -> np.ndarray:
    """Return a chiral map: 1 is the middle band, 2 the bright one, on every slice another."""
    array = np.zeros(SHAPE, np.uint8)
    for index in range(SHAPE[0]):
        array[index, 1 : 5 + index, 2] = 1
        array[index, 1, 2 : 6 + index] = 1
        array[index, 8, 9 : 11 + index] = 2
        array[index, 8 - index, 14] = 2
    array[0, 10, 15] = 2
    array[4, 0, 0] = 1
    return array


def intensities(dtype: str) -> np.ndarray:
    """Return what shows the map: three levels, far enough apart in any type."""
    levels = (0, 130, 255) if dtype == "uint8" else (3, 1003, 2003)
    return np.asarray(levels)[numbers()].astype(dtype)


def save_nifti(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    affine = geometry.affine[:, [2, 1, 0, 3]]
    image = nib.Nifti1Image(array.transpose(2, 1, 0), affine, dtype=array.dtype)
    nib.save(image, path)


def save_itk(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    lps = LPS @ geometry.affine[:, [2, 1, 0, 3]]
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path), True)


def save_series(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    path.mkdir()
    lps = LPS @ geometry.affine
    _, rows, cols = geometry.spacing
    orientation = (*(lps[:3, 2] / cols), *(lps[:3, 1] / rows))
    for number, plane in enumerate(array):
        position = tuple((lps[:3, 0] * number + lps[:3, 3]).tolist())
        dataset = ct_slice(
            plane.astype(np.uint16), position, orientation=orientation, spacing=(rows, cols)
        )
        dataset.Modality = "MR"
        dataset.RescaleIntercept = 0
        dataset.save_as(path / f"{(number * 3) % 7}.dcm")


SAVERS: dict[str, Callable[[Path, np.ndarray, Geometry], None]] = {
    ".nii": save_nifti,
    ".nii.gz": save_nifti,
    ".nrrd": save_itk,
    ".mha": save_itk,
    "": save_series,
}


def points_by_nibabel(path: Path) -> dict[int, Points]:
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    return {n: sorted_points(np.argwhere(array == n), image.affine) for n in (1, 2)}


def points_by_itk(path: Path) -> dict[int, Points]:
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    found = {}
    for number in (1, 2):
        indices = np.argwhere(array == number)[:, ::-1].tolist()
        lps = [image.TransformIndexToPhysicalPoint(index) for index in indices]
        found[number] = sorted_points(np.array(lps) * (-1, -1, 1), np.eye(4))
    return found


def sorted_points(indices: np.ndarray, affine: np.ndarray) -> Points:
    points = indices @ affine[:3, :3].T + affine[:3, 3]
    return points[np.lexsort(points.round(2).T)]


def is_same_place(found: Points, expected: Points) -> bool:
    """Compare as sets: each point has its partner within the tolerance, and none has two."""
    if found.shape != expected.shape:
        return False
    distance = np.linalg.norm(found[:, None] - expected[None], axis=2)
    return bool((distance.min(1) < TOLERANCE_MM).all() and (distance.min(0) < TOLERANCE_MM).all())


@cache
def session_of(long_side: int) -> Session:
    return Session(identity_model(long_side), auto_zoom=False)


def check(folder: Path, scene: Scene) -> None:
    """Take one combination all the way, and check masks, geometry and clicks."""
    geometry = scene.geometry
    source = folder / f"image{scene.suffix}"
    SAVERS[scene.suffix](source, intensities(scene.dtype), geometry)
    expected = {n: sorted_points(np.argwhere(numbers() == n), geometry.affine) for n in (1, 2)}
    session = session_of(scene.long_side)
    session.set_image(source)
    session.predict(classes=list(CONCEPTS.names))
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = folder / f"mask{suffix}"
        session.write_mask(path)
        if suffix == ".nii.gz":
            by_library = [points_by_nibabel(path)]
            is_readable = not scene.shear
        else:
            by_library, is_readable = [], True
        if is_readable:
            by_library.append(points_by_itk(path))
        for found in by_library:
            for number, points in found.items():
                assert is_same_place(points, expected[number]), (suffix, number)
    check_grid_beside(source, folder, scene)
    check_clicks(session, geometry)


def check_grid_beside(source: Path, folder: Path, scene: Scene) -> None:
    """Open image and mask of one format with the library of that format: one and the same grid."""
    if scene.suffix in (".nii", ".nii.gz"):
        image, mask = nib.load(source), nib.load(folder / "mask.nii.gz")
        assert mask.shape == image.shape
        np.testing.assert_allclose(mask.affine, image.affine, atol=TOLERANCE_MM)
    if scene.suffix and not (scene.shear and "nii" in scene.suffix):
        suffix = ".nii.gz" if "nii" in scene.suffix else scene.suffix
        image, mask = (
            SimpleITK.ReadImage(str(path)) for path in (source, folder / f"mask{suffix}")
        )
        assert mask.GetSize() == image.GetSize()
        for read in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(
                getattr(mask, read)(), getattr(image, read)(), atol=TOLERANCE_MM
            )
        # ITK's own filters refuse two grids that are not the same to one in a million.
        labels = SimpleITK.Cast(mask, SimpleITK.sitkUInt8)
        SimpleITK.LabelStatisticsImageFilter().Execute(
            SimpleITK.Cast(image, SimpleITK.sitkFloat32), labels
        )


def check_clicks(session: Session, geometry: Geometry) -> None:
    """Click some voxels by index and by a place in mm a little beside their centres."""
    image = session.image
    assert image is not None
    for number, world in enumerate(places(geometry)):
        near = image.geometry.world_to_voxel(world)
        voxel = tuple(int(round(value)) for value in near)
        label = f"spot {number}"
        knowledge = Knowledge(
            clicks=(PointMark(voxel, True), PointMark(world, False, is_world=True)), label=label
        )
        ask(session, knowledge)
        by_index, by_place = session.interactions(label, voxel[0]).clicks
        assert (by_index.row, by_index.col) == voxel[1:]
        assert (by_place.row, by_place.col) == voxel[1:]
        where = image.geometry.voxel_to_world((float(voxel[0]), float(voxel[1]), float(voxel[2])))
        step = np.asarray(geometry.spacing)
        assert np.linalg.norm(np.subtract(where, world)) < 0.45 * np.linalg.norm(step)


def places(geometry: Geometry) -> Iterator[tuple[float, float, float]]:
    """Yield places in mm near the centres of voxels that no symmetry of the grid exchanges."""
    for voxel, beside in (((0, 10, 15), 0.3), ((3, 2, 7), -0.4)):
        at = np.add(voxel, beside)
        yield geometry.voxel_to_world((float(at[0]), float(at[1]), float(at[2])))


def holds(scene: Scene) -> bool:
    """Say whether the format can hold the scene."""
    if scene.suffix == "":
        # Pixels are unsigned in the phantom series, and rows and columns meet at right angles.
        return scene.dtype in ("uint8", "uint16") and not scene.shear
    return not (scene.shear and scene.suffix in (".nrrd", ".mha"))


scenes = st.builds(
    Scene,
    axes=st.sampled_from(list(orientations())),
    spacing=st.tuples(*[st.sampled_from([0.4, 0.9, 1.7, 5.0])] * 3),
    turn=st.floats(-1.5, 1.5),
    shear=st.sampled_from([0.0, 0.25, -0.6]),
    dtype=st.sampled_from(DTYPES),
    suffix=st.sampled_from(list(SAVERS)),
    long_side=st.sampled_from(LONG_SIDES),
).filter(holds)


@pytest.mark.parametrize("axes", list(orientations()))
def test_every_orientation_keeps_every_voxel_in_its_place(tmp_path: Path, axes: Axes) -> None:
    at = list(orientations()).index(axes)
    suffix = list(SAVERS)[at % 5]
    dtype = "uint16" if suffix == "" else DTYPES[at % 6]
    shear = 0.25 * (at % 2) if "nii" in suffix else 0.0
    check(tmp_path, Scene(axes, (2.5, 0.7, 1.3), 0.3, shear, dtype, suffix, LONG_SIDES[at % 2]))


@settings(max_examples=12, deadline=None, suppress_health_check=QUIET)
@given(scene=scenes)
def test_any_grid_type_and_format_keeps_every_voxel_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene
) -> None:
    check(tmp_path_factory.mktemp("scene"), scene)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("suffix", "turn", "shear"),
    [
        *((suffix, turn, 0.0) for suffix in SAVERS for turn in (0.0, -1.1)),
        *((suffix, *both) for suffix in (".nii", ".nii.gz") for both in ((0.2, 0.25), (1.4, -0.6))),
    ],
)
def test_the_full_sweep(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, turn: float, shear: float
) -> None:
    count = 0
    for axes, dtype in itertools.product(orientations(), DTYPES):
        scene = Scene(axes, (5.0, 0.4, 0.9), turn, shear, dtype, suffix, LONG_SIDES[count % 2])
        count += holds(scene)
        if holds(scene):
            check(tmp_path_factory.mktemp("scene"), scene)
    assert count == 48 * (2 if suffix == "" else len(DTYPES))


def test_a_gantry_tilt_keeps_every_voxel_in_its_place(tmp_path: Path) -> None:
    upright = oriented((2, 1, 0), (1.0, -1.0, -1.0), spacing=(4.0, 0.7, 0.9), shape=SHAPE)
    affine = upright.affine.copy()
    affine[:3, 0] += (0.0, 1.1, 0.0)
    tilted = Geometry(SHAPE, affine)
    save_series(tmp_path / "image", intensities("uint16"), tilted)
    session = session_of(16)
    session.set_image(tmp_path / "image")
    teach(session, Knowledge(classes=("middle",)))
    session.predict(classes=["middle", "bright"])
    session.write_mask(tmp_path / "mask.nii.gz")
    found = points_by_nibabel(tmp_path / "mask.nii.gz")
    for number in (1, 2):
        expected = sorted_points(np.argwhere(numbers() == number), affine)
        assert is_same_place(found[number], expected)
    check_clicks(session, tilted)


def test_the_check_itself_sees_a_flip_a_shift_and_a_swap() -> None:
    geometry = oriented((0, 1, 2), (1.0, 1.0, 1.0), shape=SHAPE)
    right = sorted_points(np.argwhere(numbers() == 1), geometry.affine)
    for axis in range(3):
        flipped = np.flip(numbers(), axis)
        assert not is_same_place(sorted_points(np.argwhere(flipped == 1), geometry.affine), right)
    shifted = geometry.affine.copy()
    shifted[0, 3] += 0.01
    assert not is_same_place(sorted_points(np.argwhere(numbers() == 1), shifted), right)
    swapped = geometry.affine[:, [0, 2, 1, 3]]
    assert not is_same_place(sorted_points(np.argwhere(numbers() == 1), swapped), right)
    assert is_same_place(right[::-1], right)
