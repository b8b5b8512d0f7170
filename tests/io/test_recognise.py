from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprism.core.errors import ImageReadError
from medprism.io.recognise import is_dicom, of_content, recognise
from tests.io.phantoms import bundled

NIFTI = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.eye(4)).to_bytes()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "raster"),
        (b"\xff\xd8\xff\xe0", "raster"),
        (b"BM" + bytes(12) + b"\x28\x00\x00\x00", "raster"),
        (b"BM is also how a text begins", None),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
        (b"II+\x00", "tiff"),
        (NIFTI, "nifti"),
        (gzip.compress(NIFTI, mtime=0), "nifti"),
        (gzip.compress(b"text" * 300, mtime=0), None),
        (b"\x1f\x8b damaged", None),
        (nib.Nifti2Image(np.zeros((2, 3), np.uint8), np.eye(4)).to_bytes(), "nifti"),
        (b"NRRD0005\n", "nrrd"),
        (b"ObjectType = Image\nNDims = 3\n", "meta"),
        (b"Comment = none\nNDims = 2\n", "meta"),
        (b"name = value\n", None),
        (bytes(128) + b"DICM", "dicom"),
        (b"II*\x00" + bytes(124) + b"DICM", "dicom"),
        (b"\x08\x00\x05\x00CS\n\x00", "dicom"),
        (b"\x08\x00\x05\x00\x0a\x00\x00\x00", "dicom"),
        (b"\x08\x00\x05\x00\xff\xff\xff\xff", None),
        (b"", None),
        (b"plain text", None),
    ],
)
def test_the_first_bytes_tell_the_format(head: bytes, kind: str | None) -> None:
    assert of_content(head) == kind


@given(st.binary(max_size=200))
def test_any_bytes_have_a_format_or_none(head: bytes) -> None:
    assert of_content(head) in {None, "raster", "tiff", "nifti", "nrrd", "meta", "dicom"}


@pytest.mark.parametrize("name", ["CT_small.dcm", "ExplVR_LitEndNoMeta.dcm"])
def test_dicom_with_and_without_preamble(name: str) -> None:
    assert is_dicom(bundled(name).read_bytes()[:132])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty .0 bytes."),
        (b"hello", "begins with b'hello', which no supported format does"),
        (b"PK\x03\x04rest", "it is a ZIP archive; unpack it first"),
        (b"%PDF-1.7", "PDF document"),
        (b"GIF89a", "a GIF; save it as PNG"),
        (b"\x89HDF\r\n", "HDF5 file; export"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=reason):
        recognise(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="no such file"):
        recognise(tmp_path / "missing.png")
    with pytest.raises(ImageReadError, match="no such file"):
        recognise(tmp_path / "null\0byte.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageReadError, match="not a regular file"):
        recognise(tmp_path / "pipe.png")


def test_the_data_of_a_pair_points_to_its_header(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones((2, 3, 4), np.uint8), np.eye(4)), tmp_path / "a.img")
    assert recognise(tmp_path / "a.hdr") == "nifti"
    with pytest.raises(ImageReadError, match="data of a pair; pass a.hdr"):
        recognise(tmp_path / "a.img")
