from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.data.case import Case
from medprism.data.datasets.adapters import open_dataset
from medprism.data.datasets.mask_kind import BinaryMask, NumberMask
from medprism.data.layouts.conversion import convert
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.resampling import with_resampling
from medprism.data.store import SliceStore
from medprism.data.stored_slice import read_planes
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.phantoms import holed, image_on, oriented

SHAPE = (5, 23, 31)
GRID = oriented((0, 1, 2), (1.0, 1.0, 1.0), shape=SHAPE)
TURNED = oriented((2, 0, 1), (1.0, -1.0, 1.0), shape=(31, 5, 23), spacing=(1.3, 2.5, 0.7))


def turned_grid() -> Geometry:
    """Return a grid of other axes, half a voxel aside, on which all of `GRID` lies."""
    affine = TURNED.affine.copy()
    middle = np.array(GRID.voxel_to_world((2.2, 11.3, 15.4)))
    affine[:3, 3] += middle - TURNED.voxel_to_world((15.0, 2.0, 11.0))
    return Geometry(TURNED.shape, affine)


def write_pair(folder: Path, mask_grid: Geometry) -> np.ndarray:
    """Write a volume and its mask on another grid; return what ITK makes of it on the volume's."""
    (folder / "volumes").mkdir(parents=True)
    image, other = image_on(GRID), image_on(mask_grid)
    labels = Labels({"organ": np.asarray(holed(SHAPE)["left lung"]).transpose(2, 0, 1)})
    write_mask(folder / "volumes" / "a_seg.nii.gz", labels, other)
    write_mask(folder / "like.nrrd", Labels({"all": np.ones(SHAPE, bool)}), image)
    stored = SimpleITK.ReadImage(str(folder / "like.nrrd"))
    picture = SimpleITK.GetImageFromArray(image.voxels[..., 0])
    picture.CopyInformation(stored)
    SimpleITK.WriteImage(picture, str(folder / "volumes" / "a_img.nii.gz"))
    mask = SimpleITK.ReadImage(str(folder / "volumes" / "a_seg.nii.gz"))
    nearest = SimpleITK.sitkNearestNeighbor
    moved = SimpleITK.Resample(mask, stored, SimpleITK.Transform(), nearest, 0)
    (folder / "like.nrrd").unlink()
    return np.asarray(SimpleITK.GetArrayFromImage(moved)) > 0


def test_a_store_of_masks_on_other_grids_needs_resampling(tmp_path: Path) -> None:
    expected = write_pair(tmp_path / "set", turned_grid())
    config = PrepareConfig(workers=1)
    with pytest.raises(ImageReadError, match="--resample"):
        prepare([tmp_path / "set"], tmp_path / "store", config)
    report = prepare(
        [tmp_path / "set"], tmp_path / "store", PrepareConfig(workers=1, resample=True)
    )
    assert report.num_failures == 0
    store = SliceStore.open(tmp_path / "store")
    areas = {row.slice_index: row.areas.get(1, 0) for row in store.rows}
    wanted = {index: int(plane.sum()) for index, plane in enumerate(expected) if plane.any()}
    assert wanted and areas == wanted
    # A store that was prepared with it is not that of a run without.
    with pytest.raises(ImageReadError, match="--resample"):
        prepare([tmp_path / "set"], tmp_path / "store", config)


def test_a_conversion_of_masks_on_other_grids_needs_resampling(tmp_path: Path) -> None:
    expected = write_pair(tmp_path / "set", turned_grid())
    with pytest.raises(GeometryError, match="--resample"):
        convert(tmp_path / "set", tmp_path / "nn", "nnunet")
    # Classes that are described spare the reading of masks, but not the check of their grids.
    (tmp_path / "set" / "dataset.json").write_text('{"classes": {"1": "organ"}}')
    with pytest.raises(GeometryError, match="--resample"):
        convert(tmp_path / "set", tmp_path / "nn", "nnunet")
    convert(tmp_path / "set", tmp_path / "out", "nnunet", resample=True)
    (mask,) = (tmp_path / "out").glob("labelsTr/*")
    (image,) = (tmp_path / "out").glob("imagesTr/*")
    found = read_mask(mask, read_image(image))
    np.testing.assert_array_equal(found.array > 0, expected)


def test_cases_say_it_to_those_that_read_them(tmp_path: Path) -> None:
    write_pair(tmp_path / "set", turned_grid())
    dataset = with_resampling(open_dataset(tmp_path / "set", tmp_path / "splits"))
    assert all(case.resample for case in dataset.cases())
    case = Case("a", "a", None, "train", "train", Path("x"), tmp_path / "set/volumes/a_seg.nii.gz")
    image = Image.from_array(image_on(GRID).voxels[..., 0], affine=GRID.affine)
    with pytest.raises(GeometryError, match="--resample"):
        read_planes(case, image)


def test_numbers_are_resampled_and_other_kinds_are_not(tmp_path: Path) -> None:
    expected = write_pair(tmp_path / "set", turned_grid())
    masks = [tmp_path / "set" / "volumes" / "a_seg.nii.gz"]
    image = image_on(GRID)
    with pytest.raises(GeometryError):
        NumberMask({1: 1}).read(image, masks, None)
    _, found = NumberMask({1: 1}, resample=True).read(image, masks, None)
    np.testing.assert_array_equal(found > 0, expected)
    with pytest.raises(GeometryError):
        BinaryMask().read(image, masks, None)
