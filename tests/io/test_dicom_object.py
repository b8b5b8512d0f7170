from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pydicom.filewriter import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medprism.core.errors import ImageReadError
from medprism.io import memory_budget
from medprism.io.dicom_object import read_object
from medprism.io.reader import read_image
from tests.io.phantoms import bundled, ct_slice

PIXELS = np.arange(24, dtype=np.uint16).reshape(4, 6)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["CT_small.dcm", "image_dfl.dcm", "no_meta.dcm", "rtplan.dcm"])
def test_it_reads_what_pydicom_reads(name: str) -> None:
    import pydicom

    expected = pydicom.dcmread(bundled(name), force=True)
    found = read_object(bundled(name))
    assert found.to_json() == expected.to_json()
    assert Path(found.filename) == Path(expected.filename)
    headers = read_object(bundled(name), stop_before_pixels=True)
    assert "PixelData" not in headers
    assert (
        headers.to_json()
        == pydicom.dcmread(bundled(name), force=True, stop_before_pixels=True).to_json()
    )


def test_a_deflated_object_is_counted_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ct_slice(np.zeros((400, 500)), (0.0, 0.0, 0.0))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    assert read_image(tmp_path / "a.dcm").shape == (400, 500)
    monkeypatch.setattr(memory_budget, "memory_bytes", lambda: 4 * 300_000)
    with pytest.raises(ImageReadError, match=r"a\.dcm: its \d+ bytes would unpack to \d+"):
        read_image(tmp_path / "a.dcm")


def test_a_length_beyond_the_file_takes_no_memory(tmp_path: Path) -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    content = (tmp_path / "a.dcm").read_bytes()
    length = struct.pack("<I", PIXELS.nbytes)
    at = content.rindex(length + PIXELS.astype("<u2").tobytes())
    damaged = content[:at] + struct.pack("<I", 0xFFFFFFF0) + content[at + 4 :]
    (tmp_path / "a.dcm").write_bytes(damaged)
    tracemalloc.start()
    found = read_object(tmp_path / "a.dcm")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24
    assert found.PixelData == PIXELS.astype("<u2").tobytes()
