from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from pydicom.uid import RTStructureSetStorage

from medprism.core.errors import WriteError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.io.mask_export import Algorithm
from medprism.io.palette import colour
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, SERIES, SHAPE, VOLUME, enhanced, series
from tests.io.phantoms import ct_slice, write_series

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def dice(here: np.ndarray, there: np.ndarray) -> float:
    return float(2 * (here & there).sum() / (here.sum() + there.sum()))


def filled_by_pydicom(path: Path, image: Image, name: str) -> np.ndarray:
    """Fill a region as a stranger would: pydicom for the file, the headers for where slices lie.

    Each contour goes to the slice of the instance it refers to; its points are turned into pixels
    by the position, orientation and spacing in that instance's own header.
    """
    structures = pydicom.dcmread(path)
    headers = {}
    assert image.source is not None
    for file in image.source.iterdir():
        header = pydicom.dcmread(file)
        headers[header.SOPInstanceUID] = header
    order = {uid: index for index, uid in enumerate(_uids_by_slice(image, headers))}
    (number,) = [one.ROINumber for one in structures.StructureSetROISequence if one.ROIName == name]
    (region,) = [one for one in structures.ROIContourSequence if one.ReferencedROINumber == number]
    height, width = image.shape[1:]
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    found = np.zeros(image.shape, bool)
    for contour in region.ContourSequence:
        uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert len(points) == contour.NumberOfContourPoints
        header = headers[uid]
        along = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        offset = points - np.array(header.ImagePositionPatient, float)
        assert np.abs(offset @ np.cross(*along)).max() < 1e-3
        rows, cols = header.PixelSpacing
        pixels = np.stack([offset @ along[0] / cols, offset @ along[1] / rows], -1)
        found[order[uid]] |= Outline(pixels).contains_points(centres).reshape(height, width)
    return found


def _uids_by_slice(image: Image, headers: dict[str, pydicom.Dataset]) -> list[str]:
    def slice_of(uid: str) -> float:
        x, y, z = (float(value) for value in headers[uid].ImagePositionPatient)
        return image.geometry.world_to_voxel((-x, -y, z))[0]

    return sorted(headers, key=slice_of)


@pytest.mark.parametrize("kind", SERIES)
def test_regions_come_back_voxel_by_voxel_and_others_see_the_same(
    tmp_path: Path, kind: str
) -> None:
    image = series(tmp_path, kind)
    path = tmp_path / "m.rtstruct.dcm"
    assert set(write_mask(path, LABELS, image).dropped.values()) == {0}
    found = read_mask(path, image)
    assert found.geometry is image.geometry
    assert dict(found.names) == {1: "left lung", 2: "Tümor"}
    assert dict(found.colours) == {1: colour(1), 2: colour(2)}
    for name, plane in LABELS:
        np.testing.assert_array_equal(found.to_labels()[name], plane)
        seen = filled_by_pydicom(path, image, name)
        assert dice(seen, plane) >= 0.95
        np.testing.assert_array_equal(seen.any((1, 2)), plane.any((1, 2)))


@settings(max_examples=8, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from(sorted(SERIES)), st.integers(0, 999), st.floats(0.05, 0.95))
def test_any_mask_comes_back(tmp_path: Path, kind: str, seed: int, share: float) -> None:
    image = read_image(tmp_path / kind) if (tmp_path / kind).exists() else series(tmp_path, kind)
    mask = np.random.default_rng(seed).random(SHAPE) < share
    path = tmp_path / "m.rtstruct.dcm"
    write_mask(path, Labels({"a": mask}), image)
    np.testing.assert_array_equal(read_mask(path, image).to_labels()["a"], mask)


def test_one_contour_a_piece_closed_planar_and_all_references_are_there(tmp_path: Path) -> None:
    image = series(tmp_path, "oblique")
    path = tmp_path / "m.rtstruct.dcm"
    made_by = Algorithm("medprism kprism-nano", "7.8", frozenset({"Tümor"}))
    write_mask(path, LABELS, image, colours={"Tümor": (3, 4, 5)}, algorithm=made_by)
    written = pydicom.dcmread(path)
    source = pydicom.dcmread(next((tmp_path / "oblique").iterdir()))
    assert written.SOPClassUID == written.file_meta.MediaStorageSOPClassUID == RTStructureSetStorage
    assert (written.Modality, written.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    assert str(written.PatientName) == "Müller^Jörg"
    assert written.StudyInstanceUID == source.StudyInstanceUID
    (frame,) = written.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == source.FrameOfReferenceUID
    (listed,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert listed.SeriesInstanceUID == source.SeriesInstanceUID
    instances = {pydicom.dcmread(one).SOPInstanceUID for one in (tmp_path / "oblique").iterdir()}
    assert {one.ReferencedSOPInstanceUID for one in listed.ContourImageSequence} == instances
    regions = written.StructureSetROISequence
    assert [one.ROIGenerationAlgorithm for one in regions] == ["AUTOMATIC", "SEMIAUTOMATIC"]
    assert [one.ROIName for one in regions] == ["left lung", "Tümor"]
    assert [list(one.ROIDisplayColor) for one in written.ROIContourSequence] == [
        list(colour(1)),
        [3, 4, 5],
    ]
    assert len(written.RTROIObservationsSequence) == 2
    plate = written.ROIContourSequence[0].ContourSequence
    # Slice 1 has a plate and an island in its hole, the others a plate with holes.
    assert len(plate) == 4
    assert {one.ContourGeometricType for one in plate} == {"CLOSED_PLANAR"}


def test_frames_of_an_enhanced_object_are_referred_to_by_number(tmp_path: Path) -> None:
    image = enhanced(tmp_path / "ct.dcm")
    write_mask(tmp_path / "m.rtstruct.dcm", LABELS, image)
    found = read_mask(tmp_path / "m.rtstruct.dcm", image).to_labels()
    for name, plane in LABELS:
        np.testing.assert_array_equal(found[name], plane)
    stored = pydicom.dcmread(tmp_path / "ct.dcm").PerFrameFunctionalGroupsSequence
    written = pydicom.dcmread(tmp_path / "m.rtstruct.dcm")
    for contour in written.ROIContourSequence[0].ContourSequence:
        number = contour.ContourImageSequence[0].ReferencedFrameNumber
        position = stored[number - 1].PlanePositionSequence[0].ImagePositionPatient
        assert contour.ContourData[2] == pytest.approx(position[2])


@pytest.mark.parametrize("suffix", [".rtstruct.dcm", ".dcm", ".labelmap.dcm"])
def test_rounded_positions_are_those_of_the_instances(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "ct"
    for number, path in enumerate(write_series(folder, VOLUME)):
        header = pydicom.dcmread(path)
        header.ImagePositionPatient = [-10.0, 20.0, round(0.65 * number, 1)]
        header.save_as(path)
    image = read_image(folder)
    path = tmp_path / f"m{suffix}"
    write_mask(path, LABELS.to_map(), image)
    np.testing.assert_array_equal(read_mask(path, image).array, LABELS.to_map().array)
    if suffix == ".rtstruct.dcm":
        # Compared with the plane of the very instance that each contour refers to.
        assert filled_by_pydicom(path, image, "Tümor").any()


def test_a_label_without_a_pixel_is_a_region_without_contours(tmp_path: Path) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.rtstruct.dcm"
    write_mask(path, Labels({"cyst": np.zeros(SHAPE, bool)}), image)
    found = read_mask(path, image)
    assert dict(found.names) == {1: "cyst"}
    assert not found.array.any()
    assert "ContourSequence" not in pydicom.dcmread(path).ROIContourSequence[0]


def test_a_contour_longer_than_explicit_vr_allows(tmp_path: Path) -> None:
    volume = np.zeros((2, 130, 121), np.uint16)
    write_series(tmp_path / "ct", volume)
    image = read_image(tmp_path / "ct")
    comb = np.zeros(volume.shape, bool)
    comb[1, 1:129:2, 1:120], comb[1, 1:129, 1] = True, True
    comb[1, 2:128:2, 3::2] = True
    write_mask(tmp_path / "m.rtstruct.dcm", Labels({"comb": comb}), image)
    (region,) = pydicom.dcmread(tmp_path / "m.rtstruct.dcm").ROIContourSequence
    assert max(len("\\".join(map(str, one.ContourData))) for one in region.ContourSequence) > 65536
    found = read_mask(tmp_path / "m.rtstruct.dcm", image)
    np.testing.assert_array_equal(found.array == 1, comb)


def test_what_has_no_frame_of_reference_is_refused_with_the_way_out(tmp_path: Path) -> None:
    picture = Image.from_array(np.zeros(SHAPE[1:], np.uint8))
    mask = Labels({"a": np.ones(SHAPE[1:], bool)})
    write_mask(tmp_path / "a.png", mask, picture)
    path = tmp_path / "m.rtstruct.dcm"
    with pytest.raises(WriteError, match="RTSTRUCT refers to .*a.png, which is not DICOM; choose"):
        write_mask(path, mask, picture.replace(source=tmp_path / "a.png"))
    dataset = ct_slice(VOLUME[0], (0.0, 0.0, 0.0))
    del dataset.ImagePositionPatient, dataset.FrameOfReferenceUID
    dataset.save_as(tmp_path / "a.dcm")
    said = "no position .ImagePositionPatient. and no frame of reference .*; write .dcm"
    with pytest.raises(WriteError, match=said):
        write_mask(path, mask, read_image(tmp_path / "a.dcm"))
    assert not path.exists()
