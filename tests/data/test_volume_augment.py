from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.data.volume_augment import (
    VolumeAugmentConfig,
    change_intensities,
    cut_image,
    cut_labels,
    draw_placement,
    place_upright,
)

from .volume_phantoms import draw_volume

ALWAYS = VolumeAugmentConfig(turn=1.0, odds=1.0)


def test_an_upright_window_is_a_slice_of_the_array_with_its_edge_continued() -> None:
    image, labels = draw_volume(3)
    placement = place_upright((4, 7, 2), (16, 20, 12))
    np.testing.assert_array_equal(cut_image(image, placement), image[4:20, 7:27, 2:14])
    np.testing.assert_array_equal(cut_labels(labels, placement), labels[4:20, 7:27, 2:14])
    beyond = place_upright((-3, 0, 0), (8, 40, 34))
    np.testing.assert_array_equal(
        cut_image(image, beyond), np.pad(image[:5], ((3, 0), (0, 0), (0, 0)), mode="edge")
    )
    assert not cut_labels(labels, beyond)[:3].any()


def test_a_turned_window_samples_where_its_matrix_says() -> None:
    image, labels = draw_volume(1)
    placement = draw_placement(counter_rng(2, "turn"), (3, 5, 4), (16, 16, 16), ALWAYS)
    assert not np.allclose(placement.matrix, np.eye(3))
    grid = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij")).reshape(3, -1)
    places = placement.matrix @ grid + placement.offset[:, None]
    expected = map_coordinates(image, places, order=1, mode="nearest").reshape(16, 16, 16)
    np.testing.assert_allclose(cut_image(image, placement), expected, atol=1e-5)
    nearest = map_coordinates(labels, places, order=0, mode="constant").reshape(16, 16, 16)
    assert (cut_labels(labels, placement) == nearest).mean() > 0.999
    # The middle of the window stays where it was.
    middle = placement.matrix @ np.full(3, 7.5) + placement.offset
    np.testing.assert_allclose(middle, np.array([3, 5, 4]) + 7.5)
    scales = np.linalg.svd(placement.matrix)[1]
    assert (scales >= 1 / 1.1 - 1e-9).all()
    assert (scales <= 1 / 0.9 + 1e-9).all()


def test_intensities_change_a_little_and_by_the_generator_alone() -> None:
    image, _ = draw_volume(5)
    one = change_intensities(counter_rng(1, "look"), image, ALWAYS)
    two = change_intensities(counter_rng(1, "look"), image, ALWAYS)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, image)
    assert np.corrcoef(one.ravel(), image.ravel())[0, 1] > 0.7
    never = VolumeAugmentConfig(odds=0.0)
    np.testing.assert_array_equal(change_intensities(counter_rng(1, "look"), image, never), image)
    flat = np.zeros((4, 4, 4), np.float32)
    assert np.isfinite(change_intensities(counter_rng(3, "look"), flat, ALWAYS)).all()


def test_ranges_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="odds"):
        VolumeAugmentConfig(odds=1.5)
    with pytest.raises(ConfigError, match="gamma"):
        VolumeAugmentConfig(gamma=(1.2, 0.8))
