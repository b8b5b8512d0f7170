from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import ImageReadError
from medprism.core.image import Image
from medprism.io.dicom_mask import as_numbers, read_dicom_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, series
from tests.io.phantoms import bundled, ct_slice


def test_segments_contours_and_images_of_numbers_are_told_apart(tmp_path: Path) -> None:
    image = series(tmp_path)
    for suffix in (".dcm", ".labelmap.dcm", ".rtstruct.dcm"):
        write_mask(tmp_path / f"m{suffix}", LABELS.to_map(), image)
        found = read_dicom_mask(tmp_path / f"m{suffix}", image)
        np.testing.assert_array_equal(found.array, LABELS.to_map().array)
        assert list(found.names.values()) == ["left lung", "Tümor"]
    numbers = LABELS.to_map().array[2].astype(np.uint16)
    dataset = ct_slice(numbers, (0.0, 0.0, 0.0))
    dataset.RescaleIntercept = 0
    dataset.save_as(tmp_path / "numbers.dcm")
    found = read_dicom_mask(tmp_path / "numbers.dcm")
    np.testing.assert_array_equal(found.array, numbers)
    assert not found.names


def test_colours_and_fractions_are_no_numbers() -> None:
    with pytest.raises(ImageReadError, match="colour picture"):
        read_dicom_mask(bundled("SC_rgb_rle.dcm"))
    with pytest.raises(ImageReadError, match="fractions"):
        as_numbers(Image.from_array(np.full((2, 5), 0.5)))
