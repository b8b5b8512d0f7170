from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage

from medprism.core.errors import ImageReadError
from medprism.io.dicom import read_dicom, read_dicom_folder
from tests.io.phantoms import bundled, ct_slice, write_series

VOLUME = np.random.default_rng(9).integers(0, 4096, (6, 5, 7)).astype(np.uint16)


def itk_affine(image: SimpleITK.Image) -> np.ndarray:
    """Return the affine that SimpleITK read, as ours: RAS, columns (slice, row, col)."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine[:, [2, 1, 0, 3]]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm"])
def test_one_slice_equals_simpleitk(name: str) -> None:
    image = read_dicom(bundled(name))
    other = SimpleITK.ReadImage(str(bundled(name)))
    assert image.is_planar
    assert image.modality == ("MR" if name.startswith("MR") else "CT")
    expected = itk_affine(other)
    np.testing.assert_allclose(image.geometry.affine[:, 1:], expected[:, 1:], atol=1e-4)
    np.testing.assert_array_equal(
        image.voxels[..., 0], SimpleITK.GetArrayFromImage(other).reshape(1, *image.shape)
    )


@pytest.mark.parametrize(
    "orientation",
    [
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        (0.8, 0.6, 0.0, -0.36, 0.48, 0.8),
    ],
)
def test_a_series_equals_simpleitk(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    step = tuple((-2.5 * normal).tolist())
    paths = write_series(tmp_path, VOLUME, step=step, orientation=orientation)
    (tmp_path / "notes.txt").write_text("not an image")
    image = read_dicom_folder(tmp_path)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    other = reader.Execute()
    np.testing.assert_array_equal(image.voxels[..., 0], SimpleITK.GetArrayFromImage(other))
    np.testing.assert_array_equal(image.voxels[..., 0], VOLUME[::-1].astype(int) - 1024)
    np.testing.assert_allclose(image.geometry.affine, itk_affine(other), atol=1e-4)
    assert image.geometry.spacing == pytest.approx((2.5, 0.5, 0.8))
    assert image.modality == "CT"
    assert len(paths) == image.num_slices


def test_a_tilted_series_keeps_every_voxel_at_its_place(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME, step=(0.0, 0.7, 2.0), start=(-10.0, 20.0, -30.0))
    geometry = read_dicom_folder(tmp_path).geometry
    for number in range(len(VOLUME)):
        x, y, z = -10.0, 20.0 + 0.7 * number, -30.0 + 2.0 * number
        world = geometry.voxel_to_world((float(number), 0.0, 0.0))
        np.testing.assert_allclose(world, (-x, -y, z), atol=1e-6)
    world = geometry.voxel_to_world((5.0, 4.0, 6.0))
    np.testing.assert_allclose(world, (10.0 - 6 * 0.8, -23.5 - 4 * 0.5, -20.0), atol=1e-6)


def test_a_tilted_gantry_is_said_loudly_and_a_straight_one_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path / "straight", VOLUME, step=(0.0, 0.004, 2.0))
    read_dicom_folder(tmp_path / "straight")
    assert not caplog.records
    write_series(tmp_path / "tilted", VOLUME, step=(0.0, 2.0 * np.tan(np.radians(12)), 2.0))
    read_dicom_folder(tmp_path / "tilted")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "slices of a CT series are sheared by 12.0 degrees (gantry tilt)" in record.getMessage()


def test_a_series_is_chosen_by_its_number(tmp_path: Path) -> None:
    for series, number, count in (("1.2", 3, 4), ("1.3", 5, 2), ("1.4", 5, 3)):
        for index in range(count):
            dataset = ct_slice(VOLUME[index], (0.0, 0.0, 2.0 * index), series=series)
            dataset.SeriesNumber = number
            dataset.save_as(tmp_path / f"{series}-{index}.dcm")
    assert read_dicom_folder(tmp_path, "3").num_slices == 4
    with pytest.raises(ImageReadError, match=r"not one '5'.*1.3 .number 5, thorax, 2 files"):
        read_dicom_folder(tmp_path, "5")


def test_one_file_of_a_series_is_planar(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME[:1])
    assert read_dicom_folder(tmp_path).is_planar
    assert read_dicom(paths[0]).shape == (5, 7)


def test_several_series_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME[:4])
    other = ct_slice(VOLUME[5], (0.0, 0.0, 0.0), series="9.9")
    del other.SeriesDescription
    other.save_as(tmp_path / "other.dcm")
    with pytest.raises(ImageReadError) as caught:
        read_dicom_folder(tmp_path)
    message = str(caught.value)
    assert "it holds 2 series; choose one by its uid or its number, with --series" in message
    assert "1.2.3.4 (thorax, 4 files)" in message
    assert "9.9 (no description, 1 files)" in message
    assert read_dicom_folder(tmp_path, "1.2.3.4").num_slices == 4
    assert read_dicom_folder(tmp_path, "9.9").is_planar
    with pytest.raises(ImageReadError, match="2 series and not one '7.7'; choose one"):
        read_dicom_folder(tmp_path, "7.7")


def test_a_missing_slice_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME)
    paths[3].unlink()
    expected = f"{paths[2].name} and {paths[4].name} are 4 mm apart .* about 1 missing"
    with pytest.raises(ImageReadError, match=expected):
        read_dicom_folder(tmp_path)


def test_a_doubled_slice_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME)
    (tmp_path / "again.dcm").write_bytes(paths[3].read_bytes())
    with pytest.raises(ImageReadError, match="1 slices lie where another one does .again.dcm and"):
        read_dicom_folder(tmp_path)


def test_a_slice_of_another_size_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME)
    ct_slice(VOLUME[0, :4], (0.0, 0.0, 90.0)).save_as(tmp_path / "odd.dcm")
    with pytest.raises(ImageReadError, match="odd.dcm has 4 x 7 pixels .1 samples. but"):
        read_dicom_folder(tmp_path)


def test_a_damaged_slice_is_named_and_not_left_out(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME)
    paths[2].write_bytes(paths[2].read_bytes()[:-10])
    with pytest.raises(ImageReadError, match=f"{paths[2].name}: cannot be read as DICOM"):
        read_dicom_folder(tmp_path)


def test_scales_that_differ_from_slice_to_slice_are_each_applied(tmp_path: Path) -> None:
    for path, slope in zip(write_series(tmp_path, VOLUME[:3]), (0.5, 1.0, 2.0), strict=True):
        dataset = pydicom.dcmread(path)
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
        dataset.save_as(path)
    voxels = read_dicom_folder(tmp_path).voxels[..., 0]
    assert voxels.dtype == np.float32
    np.testing.assert_allclose(voxels, VOLUME[:3] * np.array([0.5, 1.0, 2.0])[:, None, None])


def test_folders_without_an_image_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="no DICOM image .0 other files."):
        read_dicom_folder(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "report.dcm").write_bytes(bundled("test-SR.dcm").read_bytes())
    with pytest.raises(ImageReadError, match="no DICOM image .2 other files."):
        read_dicom_folder(tmp_path)
    write_series(tmp_path / "series 1", VOLUME)
    with pytest.raises(ImageReadError, match="choose one of its 1 folders: series 1"):
        read_dicom_folder(tmp_path)


def test_reports_and_segmentations_beside_a_series_are_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path, VOLUME)
    for name in ("test-SR.dcm", "liver_1frame.dcm", "rtplan.dcm"):
        (tmp_path / name).write_bytes(bundled(name).read_bytes())
    assert read_dicom_folder(tmp_path).num_slices == 6


def enhanced() -> Dataset:
    """Return an enhanced CT whose frames are stored from top to bottom."""
    dataset = ct_slice(VOLUME[0], (0.0, 0.0, 0.0))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = len(VOLUME)
    dataset.PixelData = VOLUME[::-1].tobytes()
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    measures.PixelSpacing = dataset.PixelSpacing
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    frames = []
    for number in range(len(VOLUME)):
        frame, position, scale = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-10.0, 20.0, 2.5 * (len(VOLUME) - 1 - number)]
        scale.RescaleSlope, scale.RescaleIntercept = 1, number
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([scale])
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(dataset, name)
    return dataset


def test_the_frames_of_an_enhanced_object_are_sorted_and_scaled(tmp_path: Path) -> None:
    enhanced().save_as(tmp_path / "a.dcm")
    image = read_dicom(tmp_path / "a.dcm")
    added = np.arange(len(VOLUME))[::-1, None, None]
    np.testing.assert_array_equal(image.voxels[..., 0], VOLUME.astype(int) + added)
    assert image.geometry.spacing == pytest.approx((2.5, 0.5, 0.8))
    assert read_dicom_folder(tmp_path).num_slices == len(VOLUME)


def test_a_gap_between_frames_is_named(tmp_path: Path) -> None:
    dataset = enhanced()
    position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient = [-10.0, 20.0, 25.0]
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageReadError, match="frame 2 and frame 1 are 15 mm apart"):
        read_dicom(tmp_path / "a.dcm")


def test_a_film_is_a_volume_without_spacing() -> None:
    image = read_dicom(bundled("examples_ybr_color.dcm"))
    assert image.shape == (30, 240, 320)
    assert image.is_rgb
    assert image.modality == "US"
    assert not image.geometry.is_physical


def test_several_files_of_frames_are_refused(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        enhanced().save_as(tmp_path / name)
    with pytest.raises(ImageReadError, match="a.dcm holds 6 frames of its own; read that file"):
        read_dicom_folder(tmp_path)


def test_real_series_that_pydicom_ships() -> None:
    folder = bundled("dicomdirtests") / "98892001"
    image = read_dicom_folder(folder / "CT5N")
    assert image.shape == (5, 16, 16)
    assert image.geometry.spacing[0] == pytest.approx(2.5, rel=1e-3)
    with pytest.raises(ImageReadError, match="lies in another direction"):
        read_dicom_folder(folder / "CT2N")
    with pytest.raises(ImageReadError, match="choose one of its 4 folders"):
        read_dicom_folder(folder.parent)


def test_every_file_that_pydicom_ships_is_an_image_or_one_sentence() -> None:
    images = 0
    for path in sorted(bundled("").glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read_dicom(path)
                images += 1
            except ImageReadError as error:
                assert "\n" not in str(error)
    assert images >= 45
