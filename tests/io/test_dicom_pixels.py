from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.sequence import Sequence

from medprism.core.errors import ImageReadError
from medprism.io.dicom_pixels import frames_of, functional_group, why_no_image
from medprism.io.isolated_decoder import IsolatedDecoder
from tests.io.phantoms import bundled, ct_slice

PIXELS = np.random.default_rng(8).integers(0, 4096, (5, 7)).astype(np.uint16)


def frames(dataset: Dataset) -> np.ndarray:
    with IsolatedDecoder() as decoder:
        return frames_of(dataset, decoder)


def test_whole_scales_give_whole_numbers() -> None:
    found = frames(ct_slice(PIXELS, (0.0, 0.0, 0.0)))
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found[0, ..., 0], PIXELS.astype(int) - 1024)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, 0, np.uint16), (2, 5, np.int16), (20, 0, np.int32), (0.5, 0, np.float32)],
)
def test_the_scale_equals_pydicoms(slope: float, intercept: float, dtype: type) -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    found = frames(dataset)
    assert found.dtype == dtype
    np.testing.assert_allclose(found[0, ..., 0], apply_modality_lut(PIXELS, dataset), rtol=1e-6)


def test_a_scale_that_cannot_be_meant_is_refused() -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    dataset.RescaleSlope = "1e20"
    with pytest.raises(ImageReadError, match=r"slope 1e\+20 .* cannot be meant"):
        frames(dataset)


@pytest.mark.parametrize("is_signed", [True, False])
def test_monochrome1_is_turned_so_that_zero_is_black(is_signed: bool) -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.RescaleIntercept = 0
    if is_signed:
        dataset.PixelRepresentation = 1
        signed = PIXELS.astype(np.int16) - 2048
        dataset.PixelData = signed.tobytes()
        np.testing.assert_array_equal(frames(dataset)[0, ..., 0], -1 - signed.astype(int))
    else:
        np.testing.assert_array_equal(frames(dataset)[0, ..., 0], 4095 - PIXELS.astype(int))


def test_a_lookup_table_of_the_modality_is_applied() -> None:
    dataset = ct_slice(PIXELS % 4, (0.0, 0.0, 0.0))
    table = Dataset()
    table.LUTDescriptor = [4, 0, 16]
    table.LUTData = np.array([10, 40, 20, 30], np.uint16).tolist()
    dataset.ModalityLUTSequence = Sequence([table])
    expected = np.array([10, 40, 20, 30])[PIXELS % 4]
    np.testing.assert_array_equal(frames(dataset)[0, ..., 0], expected)


def test_a_palette_becomes_colour_of_8_bit() -> None:
    dataset = pydicom.dcmread(bundled("examples_palette.dcm"))
    found = frames(dataset)
    assert found.dtype == np.uint8
    red = np.frombuffer(dataset.RedPaletteColorLookupTableData, "<u2") >> 8
    first = dataset.RedPaletteColorLookupTableDescriptor[1]
    indices = np.clip(pixel_array(dataset).astype(int) - first, 0, len(red) - 1)
    np.testing.assert_array_equal(found[0, ..., 0], red[indices])


def test_a_palette_of_8_bit_values_in_16_bit_entries_is_not_shifted() -> None:
    dataset = ct_slice(PIXELS % 3, (0.0, 0.0, 0.0))
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for name, values in (("Red", [1, 2, 3]), ("Green", [40, 50, 60]), ("Blue", [255, 0, 9])):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [3, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", np.array(values, "<u2").tobytes())
    table = np.array([[1, 40, 255], [2, 50, 0], [3, 60, 9]])
    np.testing.assert_array_equal(frames(dataset)[0], table[PIXELS % 3])


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_padded.dcm", "MR_small.dcm"),
    ],
)
def test_lossless_compressions_agree(name: str, same_as: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = frames(pydicom.dcmread(bundled(name)))
        expected = frames(pydicom.dcmread(bundled(same_as)))
    assert found.dtype == expected.dtype == np.int16
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_jls_lossy_line.dcm",
    ],
)
def test_colour_of_every_compression_shows_the_same_bars(name: str) -> None:
    found = frames(pydicom.dcmread(bundled(name)))[0]
    # Nine bars of ten rows: red, green, blue, their complements, and greys.
    expected = [(255, 0, 0), (255, 128, 128), (0, 255, 0), (128, 255, 128), (0, 0, 255)]
    for number, rgb in enumerate(expected):
        np.testing.assert_allclose(found[10 * number + 5, 50], rgb, atol=6)


def test_several_frames_are_kept(tmp_path: Path) -> None:
    found = frames(pydicom.dcmread(bundled("SC_rgb_rle_2frame.dcm")))
    assert found.shape == (2, 100, 100, 3)
    np.testing.assert_array_equal(found[1], 255 - found[0])


def test_twelve_bit_jpeg_names_its_compression() -> None:
    with pytest.raises(ImageReadError, match=r"compression \(JPEG Extended .*\) cannot be decoded"):
        frames(pydicom.dcmread(bundled("JPGExtended.dcm")))


def test_a_stream_of_another_size_is_refused() -> None:
    dataset = pydicom.dcmread(bundled("MR_small_jp2klossless.dcm"))
    dataset.Columns = 640
    with pytest.raises(ImageReadError, match="says 64 x 640 pixels.* but .* are 64 x 64"):
        frames(dataset)


def test_a_size_that_no_compression_reaches_is_refused() -> None:
    dataset = pydicom.dcmread(bundled("MR_small_RLE.dcm"))
    dataset.Rows = dataset.Columns = 60000
    with pytest.raises(ImageReadError, match="promises 7200000000 bytes of pixels but it holds"):
        frames(dataset)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("liver_1frame.dcm", "DICOM segmentation"),
        ("rtdose.dcm", "radiotherapy dose"),
        ("rtplan.dcm", "radiotherapy plan"),
        ("test-SR.dcm", "structured report"),
        ("waveform_ecg.dcm", "no picture"),
    ],
)
def test_what_is_no_image_says_so(name: str, reason: str) -> None:
    assert reason in str(why_no_image(pydicom.dcmread(bundled(name))))


def test_an_image_is_one() -> None:
    assert why_no_image(pydicom.dcmread(bundled("CT_small.dcm"))) is None


def test_settings_of_a_frame_come_before_shared_ones() -> None:
    def group(value: float) -> Dataset:
        inner, outer = Dataset(), Dataset()
        inner.SliceThickness = value
        outer.PixelMeasuresSequence = Sequence([inner])
        return outer

    dataset = Dataset()
    dataset.SharedFunctionalGroupsSequence = Sequence([group(3.0)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), group(5.0)])
    found = [functional_group(dataset, n, "PixelMeasuresSequence").SliceThickness for n in (0, 1)]
    assert found == [3.0, 5.0]
    assert functional_group(dataset, 0, "PlanePositionSequence") is None
