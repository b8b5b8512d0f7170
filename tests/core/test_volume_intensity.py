from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import GeometryError
from medprism.core.image import Image
from medprism.core.volume_intensity import standardise_volume


def test_hounsfield_units_are_clipped_by_the_window() -> None:
    array = np.full((3, 4, 5), 40, np.int16)
    array[0], array[2, 1] = -1024, 3000
    image = Image.from_array(array, modality="CT")
    clipped = np.clip(array.astype(np.float64), -990, 500)
    expected = (clipped - clipped.mean()) / clipped.std()
    np.testing.assert_allclose(standardise_volume(image), expected, atol=1e-5)


def test_other_volumes_are_clipped_by_percentiles_whatever_their_scale() -> None:
    rng = np.random.default_rng(4)
    array = rng.gamma(2.0, 30.0, (9, 8, 7)).astype(np.float32)
    values = standardise_volume(Image.from_array(array, modality="MR"))
    low, high = np.percentile(array, (2, 98))
    clipped = np.clip(array, low, high)
    np.testing.assert_allclose(values, (clipped - clipped.mean()) / clipped.std(), atol=1e-4)
    again = standardise_volume(Image.from_array(array * 7 + 100, modality="MR"))
    np.testing.assert_allclose(values, again, atol=1e-4)


def test_a_constant_volume_and_holes_give_finite_numbers() -> None:
    assert not standardise_volume(Image.from_array(np.full((2, 3, 4), 7.5))).any()
    array = np.random.default_rng(1).normal(size=(4, 5, 6))
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.inf
    assert np.isfinite(standardise_volume(Image.from_array(array))).all()


def test_pictures_are_refused() -> None:
    with pytest.raises(GeometryError, match="one slice"):
        standardise_volume(Image.from_array(np.zeros((4, 6))))
    with pytest.raises(GeometryError, match="colour"):
        standardise_volume(Image.from_array(np.zeros((2, 4, 6, 3))))
