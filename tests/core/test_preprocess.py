from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medprism.core.errors import ConfigError
from medprism.core.image import Image
from medprism.core.preprocess import (
    CENTRE,
    RULES,
    SCALE,
    Fit,
    IntensityRule,
    choose_rule,
    fit_to,
    lift,
    place,
    place_mask,
    standardise,
    to_eight_bit_range,
)

sides = st.integers(1, 700)
lengths = st.integers(1, 40).map(lambda n: 16 * n)
WIDEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("array", "modality", "name"),
    [
        (np.zeros((4, 6), np.uint8), "CT", "eight-bit"),
        (np.zeros((4, 6, 3), np.uint8), None, "eight-bit"),
        (np.zeros((4, 6), np.int16), "CT", "ct-organ"),
        (np.full((4, 6), -501, np.int16), None, "ct-organ"),
        (np.full((4, 6), -500, np.int16), None, "percentile"),
        (np.full((4, 6), -900, np.int16), "MR", "percentile"),
        (np.zeros((4, 6), np.uint16), None, "percentile"),
    ],
)
def test_the_rule_follows_type_and_modality(
    array: np.ndarray, modality: str | None, name: str
) -> None:
    assert choose_rule(Image.from_array(array, modality=modality)).name == name


def test_what_is_not_finite_does_not_choose_the_rule() -> None:
    array = np.array([[0.5, np.nan], [-np.inf, 2.0]])
    assert choose_rule(Image.from_array(array)).name == "percentile"


def test_percentile_bounds_are_those_of_the_whole_volume() -> None:
    volume = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
    volume[2, 1, 3] = np.nan
    low, high = RULES["percentile"].bounds(Image.from_array(volume))
    expected = np.nanpercentile(volume, (0.5, 99.5))
    assert (low, high) == pytest.approx(tuple(expected))


def test_window_bounds_do_not_depend_on_the_image() -> None:
    assert RULES["ct-tumour"].bounds(Image.from_array(np.ones((3, 3)))) == (-200.0, 250.0)


def test_a_rule_with_crossed_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"low 4.0 must be below 4.0"):
        IntensityRule("odd", 4.0, 4.0)


@pytest.mark.parametrize("name", RULES)
def test_rules_survive_json(name: str) -> None:
    assert IntensityRule.from_json(RULES[name].to_json()) == RULES[name]


def test_eight_bit_images_pass_unchanged() -> None:
    plane = np.arange(256, dtype=np.uint8).reshape(8, 32, 1)
    np.testing.assert_array_equal(to_eight_bit_range(plane, (0.0, 255.0)), plane)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
        (3, 4, 1),
    ),
    st.tuples(st.floats(-WIDEST, WIDEST), st.floats(-WIDEST, WIDEST)),
)
@example(np.full((3, 4, 1), -1, np.float32), (0.0, 5e-324))
@example(np.full((3, 4, 1), 3.4e38, np.float32), (1e40, float(np.nextafter(1e40, 2e40))))
@example(np.full((3, 4, 1), 1e300), (-1.7e308, 1.7e308))
def test_any_number_lands_in_0_to_255(plane: np.ndarray, bounds: tuple[float, float]) -> None:
    mapped = to_eight_bit_range(plane, bounds)
    assert mapped.dtype == np.float32
    assert np.isfinite(mapped).all()
    assert mapped.min() >= 0
    assert mapped.max() <= 255.001


def test_the_bounds_become_0_and_255_and_the_middle_stays_in_the_middle() -> None:
    plane = np.array([-2000, -991, -245.5, 500, 3000, np.nan, np.inf, -np.inf])[None, :, None]
    mapped = to_eight_bit_range(plane, (-991.0, 500.0)).ravel()
    np.testing.assert_allclose(mapped, [0, 0, 127.5, 255, 255, 0, 255, 0], atol=1e-4)


def test_a_constant_image_becomes_zeros() -> None:
    image = Image.from_array(np.full((4, 6), 7.5, np.float32))
    bounds = choose_rule(image).bounds(image)
    assert bounds == (7.5, 7.5)
    assert not to_eight_bit_range(image.voxels[0], bounds).any()


@given(sides, sides, lengths)
def test_the_canvas_holds_the_slice_and_is_a_multiple_of_16(
    height: int, width: int, long_side: int
) -> None:
    fit = fit_to((height, width), long_side)
    assert max(fit.resized) == long_side
    assert min(fit.resized) >= 1
    for side, inner, outer in zip((height, width), fit.resized, fit.canvas, strict=True):
        assert outer % 16 == 0
        assert inner <= outer < inner + 16
        assert inner == max(1, round(side * long_side / max(height, width)))


@pytest.mark.parametrize("long_side", [0, -16, 15, 250])
def test_a_long_side_that_is_no_multiple_of_16_is_refused(long_side: int) -> None:
    with pytest.raises(ConfigError, match=f"long side {long_side} must be a positive multiple"):
        fit_to((30, 20), long_side)


def ramp(height: int, width: int) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    return (rows * 2.0 + cols).astype(np.float32)


@settings(max_examples=40)
@given(st.integers(20, 200), st.integers(20, 200), st.integers(4, 16).map(lambda n: 16 * n))
def test_a_click_lands_on_what_was_clicked(height: int, width: int, long_side: int) -> None:
    fit = fit_to((height, width), long_side)
    # Resizing keeps a linear ramp linear, so the value tells the position (in the inside).
    canvas = place(ramp(height, width)[..., None], fit)[..., 0]
    for share in (0.3, 0.6):
        row, col = share * (height - 1), share * (width - 1)
        there = fit.to_canvas(row, col)
        sampled = cv2.remap(
            canvas, np.float32([[there[1]]]), np.float32([[there[0]]]), cv2.INTER_LINEAR
        )[0, 0]
        pixel = 1 / min(fit.scale)
        assert sampled == pytest.approx(row * 2.0 + col, abs=0.2 + 0.6 * pixel)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8).map(lambda n: 16 * n))
def test_to_canvas_keeps_corners_and_order(height: int, width: int, long_side: int) -> None:
    fit = fit_to((height, width), long_side)
    top, left = fit.to_canvas(-0.5, -0.5)
    bottom, right = fit.to_canvas(height - 0.5, width - 0.5)
    assert (top, left) == pytest.approx((-0.5, -0.5))
    assert (bottom, right) == pytest.approx((fit.resized[0] - 0.5, fit.resized[1] - 0.5))


@pytest.mark.parametrize("source", [(96, 61), (96, 250), (300, 61)])
def test_a_mask_survives_placing_and_lifting(source: tuple[int, int]) -> None:
    mask = np.zeros(source, bool)
    mask[source[0] // 5 : source[0] // 2, source[1] // 4 : source[1] // 3 + 9] = True
    mask[source[0] // 2 :, : source[1] // 6] = True
    fit = fit_to(source, 256)
    back = lift(place_mask(mask, fit), fit) >= 0.5
    overlap = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert back.shape == source
    assert overlap > 0.95


def test_at_its_own_size_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    plane = rng.random((48, 32), dtype=np.float32) * 255
    fit = fit_to((48, 32), 48)
    assert fit == Fit((48, 32), (48, 32), (48, 32))
    np.testing.assert_array_equal(place(plane[..., None], fit)[..., 1], plane)
    np.testing.assert_array_equal(lift(plane, fit), plane)


def test_padding_is_zero_grey_is_repeated_and_colour_kept() -> None:
    grey = np.full((50, 30, 1), 200.0, np.float32)
    fit = fit_to((50, 30), 64)
    canvas = place(grey, fit)
    assert canvas.shape == (64, 48, 3)
    assert not canvas[:, fit.resized[1] :].any()
    np.testing.assert_allclose(canvas[:, : fit.resized[1]], 200.0, rtol=1e-5)
    colour = np.repeat(grey, 3, axis=2) * np.float32([0.2, 0.5, 1.0])
    np.testing.assert_allclose(place(colour, fit)[3, 4], [40.0, 100.0, 200.0], rtol=1e-5)


def test_placed_masks_are_coverage() -> None:
    mask = np.zeros((64, 40), bool)
    mask[:3] = True
    canvas = place_mask(mask, fit_to((64, 40), 32))
    np.testing.assert_allclose(canvas[:3, :20], [[1.0] * 20, [0.5] * 20, [0.0] * 20])
    assert not canvas[:, 20:].any()


def test_the_models_input_is_centred_and_channels_first() -> None:
    canvas = np.zeros((16, 32, 3), np.float32)
    canvas[2, 5] = (255.0, 127.5, 63.75)
    ready = standardise(canvas)
    assert ready.shape == (3, 16, 32)
    assert ready.flags.c_contiguous
    np.testing.assert_allclose(ready[:, 2, 5], [2.0, 0.0, -1.0])
    assert ready[0, 0, 0] == -CENTRE / SCALE
    np.testing.assert_array_equal(
        standardise(canvas.astype(np.uint8))[0], standardise(np.floor(canvas))[0]
    )
