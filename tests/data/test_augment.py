import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.core.preprocess import fit_to, place, place_mask
from medprism.core.randomness import counter_rng
from medprism.data.augment import (
    Warp,
    WarpConfig,
    crop_and_shrink,
    draw_warp,
    plain_warp,
    prepare_sampling,
    sample,
    warp_plane,
    zoom_warp,
)
from tests.data.phantoms import comma, picture

STILL = WarpConfig(
    flip_horizontal=0.0,
    flip_vertical=0.0,
    rotate=0.0,
    min_scale=1.0,
    max_scale=1.0,
    max_shift=0.0,
    elastic=0.0,
)


def _show(image: np.ndarray, warp: Warp) -> np.ndarray:
    sampling = prepare_sampling(warp)
    return sample(crop_and_shrink(image, sampling), sampling)


def _literal(image: np.ndarray, warp: Warp) -> np.ndarray:
    """Sample pixel by pixel in float64, without crop or shrinking."""
    grid = np.stack(np.meshgrid(*[np.arange(warp.size)] * 2, indexing="ij"), -1).astype(float)
    if warp.displacement is not None:
        size = (warp.size, warp.size)
        grid = grid + np.asarray(cv2.resize(warp.displacement, size, interpolation=cv2.INTER_CUBIC))
    where = grid @ warp.matrix[:, :2].T + warp.matrix[:, 2]
    padded = np.pad(image.astype(float), ((1, 1), (1, 1)))
    limits = np.array(padded.shape) - 1
    result = np.zeros((warp.size, warp.size))
    low = np.floor(where)
    part = where - low
    for row in (0, 1):
        for col in (0, 1):
            at = np.clip(low + (row, col) + 1, 0, limits).astype(int)
            weight = np.abs(1 - row - part[..., 0]) * np.abs(1 - col - part[..., 1])
            result += weight * padded[at[..., 0], at[..., 1]]
    return result


@pytest.mark.parametrize("shape", [(60, 44), (44, 60), (128, 96), (300, 200), (7, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_without_augmentation_the_slice_lies_as_place_puts_it(
    shape: tuple[int, int], channels: int
) -> None:
    mask = comma(shape, 1, 0, min(shape) // 2 + 1)
    image = picture(shape, mask, 4, channels).reshape(*shape, channels)
    shown = _show(image, plain_warp(shape, 128))
    fit = fit_to(shape, 128)
    height, width = fit.canvas
    expected = place(image.astype(np.float32), fit)[..., :channels]
    np.testing.assert_allclose(shown[:height, :width], expected, atol=1.01)
    assert not shown[height:].any()
    assert not shown[:, width:].any()
    coverage = warp_plane(mask, prepare_sampling(plain_warp(shape, 128)))
    np.testing.assert_allclose(
        coverage[:height, :width] / 255, place_mask(mask, fit), atol=1.01 / 255
    )


@pytest.mark.parametrize("seed", range(12))
def test_enlarging_warps_equal_the_literal_sampling(seed: int) -> None:
    shape = (60, 44)
    image = picture(shape, comma(shape, 9, 5, 30), seed)
    config = WarpConfig(elastic=0.5, min_scale=1.0, max_scale=1.6)
    warp = draw_warp(counter_rng(seed, "warp"), shape, 96, config)
    shown = _show(image[..., None], warp)[..., 0].astype(float)
    difference = np.abs(shown - _literal(image, warp))
    # cv2 rounds positions to 1/32 pixel; steep edges feel it.
    assert difference.mean() < 0.7
    assert np.quantile(difference, 0.99) < 6


@pytest.mark.parametrize("seed", range(8))
def test_zooming_out_keeps_the_amount_of_a_thin_structure(seed: int) -> None:
    shape = (300, 260)
    line = np.zeros(shape, bool)
    line[40:250, 120] = True
    config = WarpConfig(min_scale=1.0, max_scale=1.0, max_shift=0.0, elastic=0.0, rotate=1.0)
    warp = draw_warp(counter_rng(seed, "thin"), shape, 96, config)
    total = warp_plane(line, prepare_sampling(warp)).sum() / 255
    assert total == pytest.approx(210 * warp.scale**2, rel=0.15)


@pytest.mark.parametrize("seed", range(10))
def test_image_and_mask_move_together(seed: int) -> None:
    shape = (70, 52)
    mask = comma(shape, 12, 9, 36)
    image = (mask * 255).astype(np.uint8)[..., None]
    box = (12, 9, 48, 45) if seed % 2 else None
    warp = draw_warp(counter_rng(seed, "both"), shape, 64, WarpConfig(elastic=0.5), box)
    sampling = prepare_sampling(warp)
    shown = sample(crop_and_shrink(image, sampling), sampling)[..., 0]
    np.testing.assert_array_equal(shown, warp_plane(mask, sampling))


def test_flips_are_mirrors_of_the_plain_slice() -> None:
    shape = (64, 64)
    image = picture(shape, comma(shape, 9, 5, 30), 1)[..., None]
    plain = _show(image, plain_warp(shape, 64))
    for change, expected in (
        ({"flip_horizontal": 1.0}, plain[:, ::-1]),
        ({"flip_vertical": 1.0}, plain[::-1]),
        ({"flip_vertical": 1.0, "flip_horizontal": 1.0}, plain[::-1, ::-1]),
    ):
        config = WarpConfig(**{**vars(STILL), **change})
        shown = _show(image, draw_warp(counter_rng(0, "flip"), shape, 64, config))
        np.testing.assert_array_equal(shown, expected)


def test_rotation_turns_about_the_centre_of_the_slice() -> None:
    config = WarpConfig(**{**vars(STILL), "rotate": 1.0})
    shape = (40, 64)
    for seed in range(5):
        warp = draw_warp(counter_rng(seed, "turn"), shape, 128, config)
        middle = warp.matrix @ np.array([39.5, 63.5, 1.0])
        np.testing.assert_allclose(middle, (19.5, 31.5), atol=1e-9)
        turn = warp.matrix[:, :2] * warp.scale
        np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-12)
        assert abs(math.degrees(math.atan2(turn[1, 0], turn[0, 0]))) <= 45


def test_draws_stay_in_their_ranges() -> None:
    shape, size, config = (90, 60), 96, WarpConfig()
    fitted = size / 90
    scales, shifts, is_elastic = [], [], 0
    for seed in range(400):
        warp = draw_warp(counter_rng(seed, "range"), shape, size, config)
        scales.append(warp.scale / fitted)
        centre = np.linalg.solve(warp.matrix[:, :2], np.array([44.5, 29.5]) - warp.matrix[:, 2])
        shifts.append((centre - np.array([47.5, 31.5])) / size)
        is_elastic += warp.displacement is not None
    assert 0.75 <= min(scales) < 0.8
    assert 1.3 < max(scales) <= 1.35
    assert np.abs(shifts).max() <= 0.08 + 1e-9
    assert np.abs(shifts).max() > 0.07
    assert 50 < is_elastic < 115


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000),
    st.tuples(st.integers(3, 300), st.integers(3, 300)),
    st.sampled_from([32, 128]),
    st.booleans(),
)
def test_any_warp_of_any_slice_can_be_applied(
    seed: int, shape: tuple[int, int], size: int, does_zoom: bool
) -> None:
    rng = counter_rng(seed, "any")
    image = rng.integers(1, 256, (*shape, 1)).astype(np.uint8)
    box = (shape[0] // 2, shape[1] // 2, shape[0] // 2 + 1, shape[1]) if does_zoom else None
    shown = _show(image, draw_warp(rng, shape, size, WarpConfig(elastic=0.5), box))
    assert shown.shape == (size, size, 1)
    # A slice thinner than a few canvas pixels may be bent off the canvas.
    if min(shape) / max(shape) * size >= 4:
        assert shown.any()


@pytest.mark.parametrize("seed", range(20))
def test_a_zoom_shows_the_box_in_the_drawn_size(seed: int) -> None:
    shape, size = (200, 260), 128
    box = (100, 40, 118, 70)
    mask = np.zeros(shape, bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    config = WarpConfig(rotate=0.0, elastic=0.0)
    warp = draw_warp(counter_rng(seed, "zoom"), shape, size, config, box)
    assert 0.25 * size - 1e-6 <= warp.scale * 30 <= 0.8 * size + 1e-6
    coverage = warp_plane(mask, prepare_sampling(warp))
    assert coverage.sum() / 255 == pytest.approx(18 * 30 * warp.scale**2, rel=0.02)


def test_a_zoom_never_shows_fewer_source_pixels_than_allowed() -> None:
    config = WarpConfig(min_window_pixels=40)
    for seed in range(10):
        warp = draw_warp(counter_rng(seed, "near"), (200, 100), 128, config, (50, 50, 52, 51))
        assert warp.scale == 128 / 40
    small = draw_warp(counter_rng(0, "small"), (20, 10), 128, config, (5, 5, 6, 6))
    assert small.scale == 128 / 20


def test_a_zoom_on_everything_shows_the_slice_at_most_a_little_smaller() -> None:
    for seed in range(10):
        warp = draw_warp(counter_rng(seed, "all"), (64, 64), 64, WarpConfig(), (0, 0, 64, 64))
        assert 0.75 <= warp.scale <= 0.8


def test_the_upright_zoom_centres_the_box() -> None:
    warp = zoom_warp((100, 140), 64, (20, 30, 40, 42), WarpConfig())
    np.testing.assert_allclose(warp.matrix @ (31.5, 31.5, 1.0), (29.5, 35.5))
    assert warp.scale * 20 == pytest.approx(64 * 0.525)


@pytest.mark.parametrize(
    "change",
    [
        {"rotate": 1.5},
        {"flip_vertical": -0.1},
        {"min_scale": 0.0},
        {"min_scale": 2.0},
        {"zoom_span": (0.8, 0.2)},
        {"zoom_span": (0.5, 1.5)},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        WarpConfig(**change)  # type: ignore[arg-type]
