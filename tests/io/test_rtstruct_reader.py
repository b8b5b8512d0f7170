from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, SHAPE, VOLUME, series
from tests.io.mutation import check_mask, mutations
from tests.io.phantoms import bundled, write_series

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def test_contours_need_an_image_and_the_right_one(tmp_path: Path) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.rtstruct.dcm"
    write_mask(path, LABELS, image)
    with pytest.raises(ImageReadError, match="no grid of their own; pass the image"):
        read_mask(path)
    with pytest.raises(ImageReadError, match="set of radiotherapy contours, not an image"):
        read_image(path)
    for number, other in enumerate(
        ({"start": (-10.0, 20.0, -29.0)}, {"start": (30.0, 20.0, -30.0)}, {"step": (0.0, 0.0, 5.0)})
    ):
        write_series(tmp_path / f"{number}", VOLUME, **other)  # type: ignore[arg-type]
        for resample in (False, True):
            with pytest.raises(GeometryError, match="choose the image it belongs to"):
                read_mask(path, read_image(tmp_path / f"{number}"), resample=resample)


def test_a_contour_within_another_is_a_hole_and_lines_are_left_out_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.rtstruct.dcm"
    outer, inner = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    outer[2, 3:15, 4:20], inner[2, 6:9, 7:13] = True, True
    write_mask(path, Labels({"outer": outer, "inner": inner}), image)
    written = pydicom.dcmread(path)
    hole = written.ROIContourSequence[1].ContourSequence[0]
    line = pydicom.Dataset()
    line.ContourGeometricType, line.ContourData = "OPEN_PLANAR", [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    for kind in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
        first = written.ROIContourSequence[0].ContourSequence
        first[0].ContourGeometricType = hole.ContourGeometricType = kind
        written.ROIContourSequence[0].ContourSequence = [first[0], hole, line]
        written.save_as(path)
        found = read_mask(path, image).to_labels()["outer"]
        np.testing.assert_array_equal(found, outer & ~inner)
    assert "the OPEN_PLANAR contour of 'outer' encloses nothing" in caplog.text


def test_regions_of_somebody_else_are_read_or_refused_in_one_sentence() -> None:
    image = read_image(bundled("CT_small.dcm"))
    with pytest.raises((GeometryError, ImageReadError)) as caught:
        read_mask(bundled("rtstruct.dcm"), image)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Image]:
    folder = tmp_path_factory.mktemp("rtstruct")
    image = series(folder)
    write_mask(folder / "m.rtstruct.dcm", LABELS, image)
    return (folder / "m.rtstruct.dcm").read_bytes(), image


@settings(max_examples=30, deadline=None, suppress_health_check=QUIET)
@given(mutations())
def test_damaged_contours_are_a_mask_or_one_sentence(
    tmp_path: Path, sample: tuple[bytes, Image], mutation: list[tuple[float, int]]
) -> None:
    check_mask(tmp_path / "m.dcm", sample[0], mutation, sample[1])


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=QUIET)
@given(mutations())
def test_many_damaged_contours_are_a_mask_or_one_sentence(
    tmp_path: Path, sample: tuple[bytes, Image], mutation: list[tuple[float, int]]
) -> None:
    check_mask(tmp_path / "m.dcm", sample[0], mutation, sample[1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ContourData": [1.0, 2.0, 3.0, 4.0]}, "has 4 numbers; it must have three for each"),
        ({"ContourData": [1.0, 2.0, 3.0]}, "has 3 numbers; it must have three for each"),
        ({"ContourData": None}, "has 1 numbers; it must have three for each"),
        ({"ContourData": [1.0, 2.0, 1e300] * 4}, "lies .* slices beside a slice"),
    ],
)
def test_contours_that_cannot_be_are_one_sentence(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.rtstruct.dcm"
    write_mask(path, LABELS, image)
    written = pydicom.dcmread(path)
    for name, value in change.items():
        setattr(written.ROIContourSequence[0].ContourSequence[0], name, value)
    written.save_as(path)
    with pytest.raises((GeometryError, ImageReadError), match=reason):
        read_mask(path, image)


def test_a_region_without_name_or_colour_has_a_number(tmp_path: Path) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.rtstruct.dcm"
    write_mask(path, LABELS, image)
    written = pydicom.dcmread(path)
    del written.StructureSetROISequence[1], written.ROIContourSequence[1].ROIDisplayColor
    written.save_as(path)
    found = read_mask(path, image)
    assert dict(found.names) == {1: "left lung"}
    assert list(found.colours) == [1]
    np.testing.assert_array_equal(found.to_labels()["label 2"], LABELS["Tümor"])


def test_a_number_of_zero_is_refused(tmp_path: Path) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.rtstruct.dcm"
    write_mask(path, LABELS, image)
    written = pydicom.dcmread(path)
    written.ROIContourSequence[0].ReferencedROINumber = 0
    written.save_as(path)
    with pytest.raises(ImageReadError, match="its ROI number is 0; it must be above 0"):
        read_mask(path, image)
