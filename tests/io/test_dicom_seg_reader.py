from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import GeometryError, ImageReadError
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, VOLUME, series
from tests.io.mutation import check_mask, mutations
from tests.io.phantoms import bundled, write_series

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize(
    ("settings_of_other", "reason"),
    [
        ({"start": (-10.0, 20.0, -29.0)}, "is no slice of the image"),
        ({"start": (-10.0, 20.5, -30.0)}, "is no slice of the image"),
        ({"spacing": (0.5, 0.81)}, "is no slice of the image"),
        ({"step": (0.0, 0.0, -2.0)}, "is no slice of the image"),
        ({"orientation": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0), "step": (0.0, 0.0, -2.0)}, "no slice of"),
    ],
)
def test_a_segmentation_of_another_series_names_both_grids(
    tmp_path: Path, settings_of_other: dict[str, object], reason: str
) -> None:
    write_mask(tmp_path / "m.dcm", LABELS, series(tmp_path))
    write_series(tmp_path / "other", VOLUME, **settings_of_other)  # type: ignore[arg-type]
    other = read_image(tmp_path / "other")
    with pytest.raises(GeometryError, match=reason) as caught:
        read_mask(tmp_path / "m.dcm", other)
    assert other.geometry.describe() in str(caught.value)
    assert "choose the image it belongs to, or resample" in str(caught.value)


def test_another_size_is_refused_and_other_spacing_is_resampled_on_request(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.dcm", LABELS, series(tmp_path))
    write_series(tmp_path / "small", VOLUME[:, :10])
    with pytest.raises(GeometryError, match="its frames have 23 x 31 pixels and its image lies on"):
        read_mask(tmp_path / "m.dcm", read_image(tmp_path / "small"))
    write_series(tmp_path / "fine", VOLUME.repeat(2, 1), spacing=(0.25, 0.8))
    fine = read_image(tmp_path / "fine")
    found = read_mask(tmp_path / "m.dcm", fine, resample=True).to_labels()
    for name, plane in LABELS:
        assert found[name].sum() == pytest.approx(2 * plane.sum(), rel=0.15)


def test_fractions_are_refused(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.dcm", LABELS, series(tmp_path))
    dataset = pydicom.dcmread(tmp_path / "m.dcm")
    dataset.SegmentationType = "FRACTIONAL"
    dataset.save_as(tmp_path / "m.dcm")
    with pytest.raises(ImageReadError, match="SegmentationType is 'FRACTIONAL'.*threshold it"):
        read_mask(tmp_path / "m.dcm")


def test_a_segmentation_of_somebody_else_is_read() -> None:
    found = read_mask(bundled("liver_1frame.dcm"))
    assert found.array.shape == (512, 512)
    assert list(found.names.values()) == ["Liver"]
    expected = pydicom.dcmread(bundled("liver_1frame.dcm")).pixel_array
    np.testing.assert_array_equal(found.array, expected.reshape(512, 512))


def test_a_segmentation_is_no_image(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.dcm", LABELS, series(tmp_path))
    with pytest.raises(ImageReadError, match="it is a DICOM segmentation, not an image"):
        read_image(tmp_path / "m.dcm")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("seg")
    image = series(folder)
    found = {}
    for suffix in (".dcm", ".labelmap.dcm"):
        write_mask(folder / f"m{suffix}", LABELS, image)
        found[suffix] = (folder / f"m{suffix}").read_bytes()
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from([".dcm", ".labelmap.dcm"]), mutations())
def test_damaged_segmentations_are_a_mask_or_one_sentence(
    tmp_path: Path, samples: dict[str, bytes], suffix: str, mutation: list[tuple[float, int]]
) -> None:
    check_mask(tmp_path / "m.dcm", samples[suffix], mutation, None)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from([".dcm", ".labelmap.dcm"]), mutations())
def test_many_damaged_segmentations_are_a_mask_or_one_sentence(
    tmp_path: Path, samples: dict[str, bytes], suffix: str, mutation: list[tuple[float, int]]
) -> None:
    check_mask(tmp_path / "m.dcm", samples[suffix], mutation, None)
