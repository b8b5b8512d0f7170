from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from medprism.core.errors import ImageReadError
from medprism.io.itk_volume import read_itk, read_itk_mask
from medprism.io.mask_file import pack_names

RNG = np.random.default_rng(7)
VOLUME = RNG.integers(-900, 3000, (4, 6, 9)).astype(np.int16)
SUFFIXES = [".nrrd", ".mha", ".mhd", ".nhdr"]


def placed(array: np.ndarray, *, is_vector: bool = False) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(array, isVector=is_vector)
    dimension = image.GetDimension()
    image.SetSpacing((0.7, 1.3, 2.5, 1.0)[:dimension])
    image.SetOrigin((-30.0, 12.5, 190.0, 0.0)[:dimension])
    if dimension == 3:
        image.SetDirection(Rotation.from_rotvec([0.2, -0.4, 0.9]).as_matrix().ravel().tolist())
    return image


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("is_packed", [True, False])
def test_every_voxel_keeps_its_place(tmp_path: Path, suffix: str, is_packed: bool) -> None:
    stored = placed(VOLUME)
    path = tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(stored, str(path), is_packed)
    image = read_itk(path)
    assert image.shape == (4, 6, 9)
    np.testing.assert_array_equal(image.voxels[..., 0], VOLUME)
    for voxel in [(0, 0, 0), (3, 0, 0), (0, 5, 0), (0, 0, 8), (1, 2, 3)]:
        x, y, z = stored.TransformIndexToPhysicalPoint(voxel[::-1])
        world = image.geometry.voxel_to_world((float(voxel[0]), float(voxel[1]), float(voxel[2])))
        np.testing.assert_allclose(world, (-x, -y, z), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_type(tmp_path: Path, dtype: type, suffix: str) -> None:
    array = (VOLUME // 40).astype(dtype)
    SimpleITK.WriteImage(placed(array), str(tmp_path / f"a{suffix}"))
    voxels = read_itk(tmp_path / f"a{suffix}").voxels
    assert voxels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(voxels[..., 0], array)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_sheared_grid_is_kept(tmp_path: Path, suffix: str) -> None:
    stored = placed(VOLUME)
    tilt = np.eye(3)
    tilt[:, 2] = (0.0, 0.28, 0.96)
    stored.SetDirection(tilt.ravel().tolist())
    SimpleITK.WriteImage(stored, str(tmp_path / f"a{suffix}"))
    slices = read_itk(tmp_path / f"a{suffix}").geometry.affine[:3, 0]
    np.testing.assert_allclose(slices, (0.0, -0.7, 2.4), atol=1e-9)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_stays_colour(tmp_path: Path, suffix: str, channels: int) -> None:
    colours = RNG.integers(0, 256, (4, 6, 9, channels), dtype=np.uint8)
    SimpleITK.WriteImage(placed(colours, is_vector=True), str(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(read_itk(tmp_path / f"a{suffix}").voxels, colours[..., :3])
    with pytest.raises(ImageReadError, match="colour volume"):
        read_itk_mask(tmp_path / f"a{suffix}")


def test_a_picture_is_planar(tmp_path: Path) -> None:
    for array in (VOLUME[0], VOLUME[:1]):
        SimpleITK.WriteImage(placed(array), str(tmp_path / "a.mha"))
        image = read_itk(tmp_path / "a.mha")
        assert image.is_planar
        assert image.shape == (6, 9)
        assert image.geometry.spacing[1:] == pytest.approx((1.3, 0.7))


def test_several_volumes_need_a_part(tmp_path: Path) -> None:
    rows = np.stack([VOLUME, VOLUME + 1])
    SimpleITK.WriteImage(placed(rows), str(tmp_path / "a.nrrd"))
    with pytest.raises(ImageReadError, match="holds 2 volumes"):
        read_itk(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(read_itk(tmp_path / "a.nrrd", "1").voxels[..., 0], VOLUME + 1)
    pairs = np.stack([VOLUME, VOLUME + 1], axis=-1)
    SimpleITK.WriteImage(placed(pairs, is_vector=True), str(tmp_path / "b.nrrd"))
    with pytest.raises(ImageReadError, match="holds 2 volumes"):
        read_itk(tmp_path / "b.nrrd")
    np.testing.assert_array_equal(read_itk(tmp_path / "b.nrrd", "0").voxels[..., 0], VOLUME)


def test_names_of_ours_and_of_slicer_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    stored = placed((VOLUME % 3).astype(np.uint8))
    stored.SetMetaData("Segment0_LabelValue", "2")
    stored.SetMetaData("Segment0_Name", "left lung")
    stored.SetMetaData("Segment1_Name", "without a number")
    SimpleITK.WriteImage(stored, str(path))
    assert dict(read_itk_mask(path).names) == {2: "left lung"}
    stored.SetMetaData("medprism", pack_names({1: "läsion"}))
    SimpleITK.WriteImage(stored, str(path))
    mask = read_itk_mask(path)
    assert dict(mask.names) == {1: "läsion"}
    np.testing.assert_array_equal(mask.array, VOLUME % 3)


@pytest.mark.parametrize("name", ["/etc/hostname", "../a.raw", "nothing.raw", "LIST", "a%03d.raw"])
def test_pixels_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "a.raw").write_bytes(bytes(10_000))
    SimpleITK.WriteImage(placed(VOLUME), str(folder / "a.mhd"))
    header = (folder / "a.mhd").read_text().replace("a.raw", name).replace("a.zraw", name)
    (folder / "a.mhd").write_text(header)
    with pytest.raises(ImageReadError, match="not a file in the same folder"):
        read_itk(folder / "a.mhd")
    SimpleITK.WriteImage(placed(VOLUME), str(folder / "b.nhdr"))
    lines = (folder / "b.nhdr").read_text().splitlines()
    changed = [f"data file: {name}" if "data file" in line else line for line in lines]
    (folder / "b.nhdr").write_text("\n".join(changed) + "\n")
    with pytest.raises(ImageReadError, match="not a file in the same folder"):
        read_itk(folder / "b.nhdr")


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".mha", "DimSize = 9 6 4", "DimSize = 9 6 999999"),
        (".nrrd", "sizes: 9 6 4", "sizes: 9 6 999999"),
    ],
)
def test_a_header_that_promises_too_much_is_refused(
    tmp_path: Path, suffix: str, old: str, new: str
) -> None:
    path = tmp_path / f"a{suffix}"
    for is_packed in (True, False):
        SimpleITK.WriteImage(placed(VOLUME), str(path), is_packed)
        content = path.read_bytes()
        assert old.encode() in content
        path.write_bytes(content.replace(old.encode(), new.encode()))
        with pytest.raises(ImageReadError, match="promises 107999892 bytes"):
            read_itk(path)


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_text("ObjectType = Image\nNDims = 3\n")
    with pytest.raises(ImageReadError, match="no plain line 'ElementDataFile"):
        read_itk(tmp_path / "a.mha")
    (tmp_path / "a.nrrd").write_text("NRRD0004\ntype: short\n")
    with pytest.raises(ImageReadError, match="cannot be read as NRRD or MetaImage"):
        read_itk(tmp_path / "a.nrrd")


def test_pixels_as_text_are_read(tmp_path: Path) -> None:
    header = (
        "ObjectType = Image\nNDims = 2\nBinaryData = False\nElementSpacing = 0.5 0.25\n"
        "DimSize = 3 2\nElementType = MET_DOUBLE\nElementDataFile = LOCAL\n1 2 3 4 5 6\n"
    )
    (tmp_path / "a.mha").write_text(header)
    image = read_itk(tmp_path / "a.mha")
    assert image.voxels[0, ..., 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert image.geometry.spacing == (1.0, 0.25, 0.5)
