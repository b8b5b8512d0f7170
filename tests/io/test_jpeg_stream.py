from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from pydicom.encaps import generate_frames

from medprism.io.jpeg_stream import StreamSize, stream_size
from tests.io.phantoms import bundled


@pytest.mark.parametrize("progressive", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(progressive: bool, channels: int) -> None:
    pixels = np.zeros((45, 70, channels), np.uint8).squeeze()
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG", progressive=progressive, comment=b"x" * 900)
    assert stream_size(buffer.getvalue()) == StreamSize(45, 70, channels, 8)


@pytest.mark.parametrize("suffix", [".j2k", ".jp2"])
def test_jpeg_2000(suffix: str) -> None:
    buffer = io.BytesIO()
    kind = {"no_jp2": suffix == ".j2k"}
    Pillow.fromarray(np.zeros((45, 70, 3), np.uint8)).save(buffer, "JPEG2000", **kind)
    assert stream_size(buffer.getvalue()) == StreamSize(45, 70, 3, 8)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("JPEGLSNearLossless_16.dcm", StreamSize(50, 10, 1, 16)),
        ("SC_rgb_jpeg_gdcm.dcm", StreamSize(100, 100, 3, 8)),
        ("MR_small_jp2klossless.dcm", StreamSize(64, 64, 1, 16)),
        ("GDCMJ2K_TextGBR.dcm", StreamSize(400, 400, 3, 8)),
    ],
)
def test_streams_in_dicom(name: str, size: StreamSize) -> None:
    frame = next(generate_frames(pydicom.dcmread(bundled(name)).PixelData, number_of_frames=1))
    assert stream_size(frame) == size


@given(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x4f\xff\x51"]),
)
def test_any_bytes_give_a_size_or_a_value_error(content: bytes, start: bytes) -> None:
    try:
        size = stream_size(start + content)
    except ValueError:
        return
    assert isinstance(size, StreamSize)


@pytest.mark.parametrize(
    "stream", [b"", b"\x00" * 50, b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x10"]
)
def test_what_ends_early_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match="compressed stream"):
        stream_size(stream)
