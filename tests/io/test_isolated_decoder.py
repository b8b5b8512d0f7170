from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from medprism.io.isolated_decoder import IsolatedDecoder
from tests.io.phantoms import bundled


def test_pixels_equal_those_of_the_same_decoder_in_process() -> None:
    with IsolatedDecoder() as decoder:
        for name in ("MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_gdcm.dcm"):
            path = bundled(name)
            pixels = decoder.decode(path)
            expected = pixel_array(path, decoding_plugin="gdcm")
            assert pixels.dtype == expected.dtype
            np.testing.assert_array_equal(pixels, expected)
        uncompressed = pydicom.dcmread(bundled("MR_small.dcm")).pixel_array
        np.testing.assert_array_equal(
            decoder.decode(bundled("MR_small_jpeg_ls_lossless.dcm")), uncompressed
        )


def test_a_crash_or_a_refusal_is_an_error_and_the_next_file_is_read(tmp_path: Path) -> None:
    good = bundled("MR_small_jpeg_ls_lossless.dcm")
    dataset = pydicom.dcmread(bundled("JPEGLSNearLossless_16.dcm"))
    # A width that the stream does not have makes GDCM abort its process.
    dataset.Columns = 217
    dataset.save_as(tmp_path / "crash.dcm")
    (tmp_path / "text.dcm").write_text("no DICOM")
    with IsolatedDecoder() as decoder:
        with pytest.raises(RuntimeError, match="the decoder crashed on it"):
            decoder.decode(tmp_path / "crash.dcm")
        assert decoder.decode(good).shape == (64, 64)
        with pytest.raises(RuntimeError, match="DICOM"):
            decoder.decode(tmp_path / "text.dcm")
        assert decoder.decode(good).shape == (64, 64)


def test_a_killed_child_is_an_error_and_replaced() -> None:
    good = bundled("MR_small_jpeg_ls_lossless.dcm")
    with IsolatedDecoder() as decoder:
        decoder.decode(good)
        child = decoder._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with pytest.raises(RuntimeError, match="crashed"):
            decoder.decode(good)
        assert decoder.decode(good).shape == (64, 64)
        last = decoder._child
    assert last is not None
    assert last.returncode == 0


def test_nothing_starts_before_the_first_file() -> None:
    with IsolatedDecoder() as decoder:
        assert decoder._child is None
