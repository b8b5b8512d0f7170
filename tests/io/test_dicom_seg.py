from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from medprism.core.errors import GeometryError, LabelError, WriteError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.io.dicom_seg import check_dicom_name
from medprism.io.mask_export import Algorithm
from medprism.io.palette import colour
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, SERIES, SHAPE, VOLUME, enhanced, series
from tests.io.phantoms import bundled, ct_slice, world_points, write_series

KINDS = ["dicom-seg", "dicom-labelmap"]


def same_places(image: Image, path: Path, written: Labels) -> None:
    """Compare every labelled voxel's place, as each file alone says it, and the whole planes."""
    for like in (image, None):
        found = read_mask(path, like)
        for name, plane in written:
            there = found.to_labels()[name].reshape(found.geometry.shape)
            np.testing.assert_allclose(
                world_points(there, found.geometry),
                world_points(image.to_stack(plane), image.geometry),
                atol=1e-4,
            )
    np.testing.assert_array_equal(read_mask(path, image).to_labels()[name], plane)


@pytest.mark.parametrize("kind", SERIES)
def test_overlapping_labels_of_any_series_keep_their_places(tmp_path: Path, kind: str) -> None:
    image = series(tmp_path, kind)
    path = tmp_path / "m.dcm"
    assert set(write_mask(path, LABELS, image).dropped.values()) == {0}
    same_places(image, path, LABELS)


@pytest.mark.parametrize("kind", SERIES)
def test_label_maps_of_any_series_keep_their_places(tmp_path: Path, kind: str) -> None:
    image = series(tmp_path, kind)
    path = tmp_path / "m.labelmap.dcm"
    merged = write_mask(path, LABELS, image, priority=("left lung",))
    assert merged.dropped["Tümor"] > 0
    planes = {name: merged.array == number for number, name in merged.names.items()}
    same_places(image, path, Labels(planes))


@pytest.mark.parametrize("format", KINDS)
def test_the_frames_of_an_enhanced_object_are_found_again(tmp_path: Path, format: str) -> None:
    image = enhanced(tmp_path / "ct.dcm")
    merged = LABELS.to_map()
    write_mask(tmp_path / "m.dcm", merged, image, format=format)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.dcm", image).array, merged.array)
    stored = pydicom.dcmread(tmp_path / "ct.dcm")
    for frame in pydicom.dcmread(tmp_path / "m.dcm").PerFrameFunctionalGroupsSequence:
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        referred = stored.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        here = frame.PlanePositionSequence[0].ImagePositionPatient
        assert here == referred.PlanePositionSequence[0].ImagePositionPatient


@pytest.mark.parametrize("format", KINDS)
def test_every_frame_refers_to_the_instance_at_its_place(tmp_path: Path, format: str) -> None:
    image = series(tmp_path, "tilted")
    write_mask(tmp_path / "m.dcm", LABELS.to_map(), image, format=format)
    by_uid = {}
    for path in (tmp_path / "tilted").iterdir():
        header = pydicom.dcmread(path)
        by_uid[header.SOPInstanceUID] = header.ImagePositionPatient
    written = pydicom.dcmread(tmp_path / "m.dcm")
    assert written.FrameOfReferenceUID == header.FrameOfReferenceUID
    assert written.StudyInstanceUID == header.StudyInstanceUID
    assert str(written.PatientName) == "Müller^Jörg"
    for frame in written.PerFrameFunctionalGroupsSequence:
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert (
            by_uid[reference.ReferencedSOPInstanceUID]
            == frame.PlanePositionSequence[0].ImagePositionPatient
        )


@pytest.mark.parametrize("format", KINDS)
def test_highdicom_reads_names_colours_algorithm_and_pixels(tmp_path: Path, format: str) -> None:
    image = series(tmp_path)
    made_by = Algorithm("medprism kprism-nano", "7.8", frozenset({"Tümor"}))
    chosen = {"left lung": (12, 200, 90)}
    merged = write_mask(
        *(tmp_path / "m.dcm", LABELS.to_map(), image),
        format=format,
        colours=chosen,
        algorithm=made_by,
    )
    read = highdicom.seg.segread(tmp_path / "m.dcm")
    numbers = [number for number in read.segment_numbers if number > 0]
    described = [read.get_segment_description(number) for number in numbers]
    assert [one.segment_label for one in described] == ["left lung", "Tümor"]
    assert [one.SegmentAlgorithmType for one in described] == ["AUTOMATIC", "SEMIAUTOMATIC"]
    assert described[0].segmented_property_type.meaning == "Lung"
    (identified,) = described[1].SegmentationAlgorithmIdentificationSequence
    assert (identified.AlgorithmName, identified.AlgorithmVersion) == (made_by.name, "7.8")
    volume = read.get_volume(combine_segments=True)
    # It may order slices the other way; what counts is where they lie.
    theirs = Geometry(volume.array.shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine)
    for number in (1, 2):
        np.testing.assert_allclose(
            world_points(volume.array == number, theirs),
            world_points(merged.array == number, image.geometry),
            atol=1e-4,
        )
    found = read_mask(tmp_path / "m.dcm", image)
    assert dict(found.names) == {1: "left lung", 2: "Tümor"}
    assert dict(found.colours) == {1: (12, 200, 90), 2: colour(2)}


@pytest.mark.parametrize("number", [1, 2, 7, 8, 40, 255])
def test_colours_of_the_palette_survive_cielab(tmp_path: Path, number: int) -> None:
    image = series(tmp_path)
    merged = LABELS.to_map()
    chosen = {"left lung": colour(number)}
    write_mask(tmp_path / "m.dcm", merged, image, colours=chosen)
    assert read_mask(tmp_path / "m.dcm", image).colours[1] == colour(number)


def test_a_label_without_a_pixel_keeps_its_name_and_an_empty_mask_its_frames(
    tmp_path: Path,
) -> None:
    image = series(tmp_path)
    nothing = np.zeros(SHAPE, bool)
    for format in KINDS:
        path = tmp_path / f"{format}.dcm"
        write_mask(path, Labels({"cyst": nothing}), image, format=format)
        found = read_mask(path, image)
        assert dict(found.names) == {1: "cyst"}
        assert not found.array.any()


def test_gaps_between_labelled_slices_are_filled(tmp_path: Path) -> None:
    image = series(tmp_path, "oblique")
    plane = np.zeros(SHAPE, bool)
    plane[0, 3, 4:9], plane[3, 5, 6], plane[4, 8, 9] = True, True, True
    write_mask(tmp_path / "m.dcm", Labels({"a": plane}), image)
    found = read_mask(tmp_path / "m.dcm")
    np.testing.assert_array_equal(found.array == 1, plane)
    assert found.geometry.matches(image.geometry)


def test_more_labels_than_a_byte_holds(tmp_path: Path) -> None:
    image = series(tmp_path)
    array = np.zeros(SHAPE, np.uint16)
    array.reshape(-1)[:300] = np.arange(300) * 3
    names = {int(number): f"cell {number}" for number in array.reshape(-1)[1:300]}
    write_mask(tmp_path / "m.labelmap.dcm", LabelMap(array, names, {}), image)
    found = read_mask(tmp_path / "m.labelmap.dcm", image)
    np.testing.assert_array_equal(found.array, array)
    assert dict(found.names) == names


def test_one_slice_and_a_radiograph(tmp_path: Path) -> None:
    plane = np.zeros(SHAPE[1:], bool)
    plane[2:9, 3:5] = True
    ct_slice(VOLUME[0], (1.0, 2.0, 3.0)).save_as(tmp_path / "ct.dcm")
    paths = [tmp_path / "ct.dcm", bundled("RG1_UNCR.dcm")]
    for number, source in enumerate(path for path in paths if path.exists()):
        image = read_image(source)
        mask = np.zeros(image.shape, bool)
        mask[2:9, 3:5] = True
        path = tmp_path / f"{number}.dcm"
        write_mask(path, Labels({"bone": mask}), image)
        np.testing.assert_array_equal(read_mask(path, image).array, mask)


def test_the_series_that_was_chosen_is_referred_to(tmp_path: Path) -> None:
    write_series(tmp_path / "both", VOLUME)
    for number, pixels in enumerate(VOLUME):
        place = (0.0, 0.0, 4.0 * number)
        other = ct_slice(pixels, place, series="9.9")
        other.SeriesNumber = 12
        other.save_as(tmp_path / "both" / f"other{number}.dcm")
    for part in ("9.9", "12"):
        image = read_image(tmp_path / "both", part)
        write_mask(tmp_path / "m.dcm", LABELS, image)
        referred = pydicom.dcmread(tmp_path / "m.dcm").ReferencedSeriesSequence[0]
        assert referred.SeriesInstanceUID == "9.9"


@pytest.mark.parametrize("suffix", [".dcm", ".labelmap.dcm"])
def test_what_does_not_come_from_dicom_is_refused(tmp_path: Path, suffix: str) -> None:
    picture = np.zeros(SHAPE[1:], np.uint8)
    image = Image.from_array(picture)
    mask = Labels({"a": picture == 0})
    path = tmp_path / f"m{suffix}"
    with pytest.raises(WriteError, match="DICOM-SEG refers to .* the image is an array without"):
        write_mask(path, mask, image)
    write_mask(tmp_path / "scan.png", mask, image)
    with pytest.raises(WriteError, match="scan.png, which is not DICOM; choose a format that"):
        write_mask(path, mask, image.replace(source=tmp_path / "scan.png"))
    with pytest.raises(WriteError, match=r"gone.dcm, which is gone"):
        write_mask(path, mask, image.replace(source=tmp_path / "gone.dcm"))
    assert not path.exists()


def test_films_and_slices_without_a_frame_of_reference_are_refused(tmp_path: Path) -> None:
    film = read_image(bundled("examples_ybr_color.dcm"))
    mask = Labels({"a": np.ones(film.shape, bool)})
    with pytest.raises(WriteError, match="position and a FrameOfReferenceUID for every slice"):
        write_mask(tmp_path / "m.dcm", mask, film)
    image = series(tmp_path)
    for path in (tmp_path / "axial").iterdir():
        header = pydicom.dcmread(path)
        del header.FrameOfReferenceUID
        header.save_as(path)
    with pytest.raises(WriteError, match="its? ?.*FrameOfReferenceUID for every slice"):
        write_mask(tmp_path / "m.dcm", LABELS, image)
    for path in (tmp_path / "axial").iterdir():
        header = pydicom.dcmread(path)
        del header.StudyInstanceUID
        header.save_as(path)
    with pytest.raises(WriteError, match="has no StudyInstanceUID; write .nii.gz"):
        write_mask(tmp_path / "m.dcm", LABELS, image)


def test_a_series_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    image = series(tmp_path)
    write_series(tmp_path / "axial", VOLUME, step=(0.0, 0.0, 2.5))
    with pytest.raises(GeometryError, match="now lies on .* read the image again"):
        write_mask(tmp_path / "m.dcm", LABELS, image)


@pytest.mark.parametrize("name", ["", "a\\b", "a\nb", "x" * 65, " left", "bell\x07"])
def test_names_that_dicom_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabelError, match="does not fit into DICOM: 1 to 64 characters"):
        check_dicom_name(name)
    image = series(tmp_path)
    mask = Labels({name: LABELS["Tümor"]})
    for suffix in (".dcm", ".labelmap.dcm", ".rtstruct.dcm"):
        with pytest.raises(LabelError, match="does not fit into DICOM"):
            write_mask(tmp_path / f"m{suffix}", mask, image)
