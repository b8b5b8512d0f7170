from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from medprism.core.errors import GeometryError, WriteError
from medprism.io.dicom_source import source_of
from tests.io.dicom_scene import SERIES, VOLUME, enhanced, series
from tests.io.phantoms import write_series


@pytest.mark.parametrize("kind", SERIES)
def test_headers_come_slice_by_slice_with_what_may_be_empty(tmp_path: Path, kind: str) -> None:
    image = series(tmp_path, kind)
    source = source_of(image, "a mask")
    for index, header in enumerate(source.headers):
        x, y, z = image.geometry.voxel_to_world((float(index), 0.0, 0.0))
        assert [float(part) for part in header.ImagePositionPatient] == pytest.approx(
            (-x, -y, z), abs=1e-4
        )
        assert "PixelData" not in header
        assert header.PatientBirthDate is None or header.PatientBirthDate == ""
        assert not header.PatientSex
    assert source.frames == (0,) * image.num_slices


def test_slices_of_an_enhanced_object_know_their_frames(tmp_path: Path) -> None:
    source = source_of(enhanced(tmp_path / "a.dcm"), "a mask")
    assert source.frames == (1, 4, 3, 0, 2)
    assert len({id(header) for header in source.headers}) == 1


def test_files_that_are_gone_changed_or_nameless_are_refused(tmp_path: Path) -> None:
    image = series(tmp_path)
    folder = tmp_path / "axial"
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        del header.SOPInstanceUID
        header.save_as(path)
    with pytest.raises(WriteError, match="a mask refers to .* has no SOPInstanceUID; write .nii"):
        source_of(image, "a mask")
    write_series(folder, VOLUME, spacing=(0.5, 0.9))
    with pytest.raises(GeometryError, match="now lies on .*0.9 mm.* and the image on .*0.8 mm"):
        source_of(image, "a mask")
    next(folder.iterdir()).write_bytes(b"")
    with pytest.raises((WriteError, GeometryError), match="cannot be read again|now lies on"):
        source_of(image, "a mask")
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(WriteError, match="a folder without DICOM files; choose a format"):
        source_of(image, "a mask")
    folder.rmdir()
    with pytest.raises(WriteError, match="axial, which is gone"):
        source_of(image, "a mask")
