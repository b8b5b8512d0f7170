from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from medprism.io import isolated_decoder
from medprism.io.isolated_decoder import IsolatedDecoder, limit_seconds
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


@pytest.mark.parametrize("size", [0, 1, 2**20, 5 * 2**20])
def test_small_files_have_five_seconds(size: int) -> None:
    assert limit_seconds(size) == 5


def test_the_limit_grows_with_the_file() -> None:
    assert limit_seconds(40 * 2**20) == 2 * limit_seconds(20 * 2**20) == 40


def test_a_file_that_never_ends_stops_the_child_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = bundled("MR_small_jpeg_ls_lossless.dcm")
    # Whoever opens a pipe that nobody writes to waits for ever.
    os.mkfifo(tmp_path / "endless.dcm")
    with IsolatedDecoder() as decoder:
        decoder.decode(good)
        hanging = decoder._child
        assert hanging is not None
        with monkeypatch.context() as patch:
            patch.setattr(isolated_decoder, "LEAST_SECONDS", 0.5)
            started = time.monotonic()
            with pytest.raises(RuntimeError, match=r"no answer within 0.5 s and was stopped"):
                decoder.decode(tmp_path / "endless.dcm")
        assert 0.5 <= time.monotonic() - started < 5
        assert hanging.returncode == -signal.SIGKILL
        assert decoder.decode(good).shape == (64, 64)


def test_a_child_that_stops_within_its_answer_is_stopped_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = bundled("MR_small_jpeg_ls_lossless.dcm")
    with IsolatedDecoder() as decoder:
        decoder.decode(good)
        child = decoder._child
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        monkeypatch.setattr(isolated_decoder, "LEAST_SECONDS", 0.3)
        with pytest.raises(RuntimeError, match=r"within 0.3 s"):
            decoder.decode(good)
        assert child.returncode == -signal.SIGKILL


def test_a_missing_file_is_an_error_before_a_child_starts(tmp_path: Path) -> None:
    with IsolatedDecoder() as decoder:
        with pytest.raises(RuntimeError, match="No such file"):
            decoder.decode(tmp_path / "none.dcm")
        assert decoder._child is None
