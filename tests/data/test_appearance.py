import math

import numpy as np
import pytest
from skimage.color import hsv2rgb, rgb2hsv

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.data.appearance import (
    Appearance,
    AppearanceConfig,
    apply_appearance,
    draw_appearance,
)
from tests.data.phantoms import comma, picture

SHAPE = (60, 44)
GREY = picture(SHAPE, comma(SHAPE, 9, 5, 30), 1)[..., None]
COLOUR = picture(SHAPE, comma(SHAPE, 9, 5, 30), 1, channels=3)


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_the_default_appearance_changes_nothing(image: np.ndarray) -> None:
    np.testing.assert_array_equal(apply_appearance(image, Appearance()), image)


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_tone_is_the_written_formula(image: np.ndarray) -> None:
    drawn = Appearance(gamma=1.3, contrast=0.8, brightness=0.1)
    expected = ((image / 255) ** 1.3 - 0.5) * 0.8 + 0.6
    np.testing.assert_allclose(
        apply_appearance(image, drawn), np.clip(expected, 0, 1) * 255, atol=0.51
    )


def test_inversion_turns_black_into_white() -> None:
    changed = apply_appearance(GREY, Appearance(is_inverted=True))
    np.testing.assert_array_equal(changed, 255 - GREY)


def test_hue_and_saturation_follow_the_colour_circle() -> None:
    drawn = Appearance(hue_degrees=40.0, saturation=0.7)
    hsv = rgb2hsv(COLOUR)
    hsv[..., 0] = (hsv[..., 0] + 40 / 360) % 1
    hsv[..., 1] *= 0.7
    expected = hsv2rgb(hsv) * 255
    changed = apply_appearance(COLOUR, drawn).astype(float)
    assert np.abs(changed - expected).mean() < 2.5
    assert np.abs(changed - COLOUR).mean() > 10


def test_grey_has_three_equal_channels_of_its_luminance() -> None:
    changed = apply_appearance(COLOUR, Appearance(is_grey=True, hue_degrees=90.0))
    luminance = COLOUR @ np.array([0.299, 0.587, 0.114])
    for channel in range(3):
        np.testing.assert_allclose(changed[..., channel], luminance, atol=1.01)


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_noise_has_the_drawn_strength_and_place(image: np.ndarray) -> None:
    flat = np.full_like(image, 128)
    first = apply_appearance(flat, Appearance(noise=0.05, noise_start=10)).astype(float)
    assert first.std() == pytest.approx(0.05 * 255, rel=0.1)
    assert abs(first.mean() - 128) < 1
    same = apply_appearance(flat, Appearance(noise=0.05, noise_start=10))
    np.testing.assert_array_equal(first, same)
    other = apply_appearance(flat, Appearance(noise=0.05, noise_start=5000)).astype(float)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1


def test_noise_cut_at_the_end_of_the_strip_goes_on_at_its_start() -> None:
    flat = np.full((20, 10, 1), 128, np.uint8)
    last = (1 << 20) - 50
    late = apply_appearance(flat, Appearance(noise=0.05, noise_start=last)).ravel()
    early = apply_appearance(flat, Appearance(noise=0.05, noise_start=0)).ravel()
    np.testing.assert_array_equal(late[50:], early[:150])


def test_blur_smooths_and_keeps_the_mean() -> None:
    changed = apply_appearance(GREY, Appearance(blur_pixels=1.5)).astype(float)
    assert (
        np.abs(np.diff(changed[..., 0], axis=0)).mean()
        < 0.6 * np.abs(np.diff(GREY[..., 0].astype(float), axis=0)).mean()
    )
    assert changed.mean() == pytest.approx(GREY.mean(), rel=0.02)


def test_draws_stay_in_their_ranges_and_keep_their_odds() -> None:
    config = AppearanceConfig()
    grey = [draw_appearance(counter_rng(n, "grey"), config, is_rgb=False) for n in range(500)]
    colour = [draw_appearance(counter_rng(n, "rgb"), config, is_rgb=True) for n in range(500)]
    assert not any(a.is_grey or a.hue_degrees or a.saturation != 1.0 for a in grey)
    assert not any(a.is_inverted for a in colour)
    assert 10 < sum(a.is_inverted for a in grey) < 45
    assert 25 < sum(a.is_grey for a in colour) < 80
    assert 200 < sum(a.hue_degrees != 0 for a in colour) < 300
    for drawn in (*grey, *colour):
        assert abs(math.log(drawn.gamma)) <= config.max_gamma
        assert abs(math.log(drawn.contrast)) <= config.max_contrast
        assert abs(drawn.brightness) <= config.max_brightness
        assert abs(drawn.hue_degrees) <= config.max_hue
        assert 0 <= drawn.noise <= config.max_noise
        assert 0 <= drawn.blur_pixels <= config.max_blur_pixels


def test_odds_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"must lie in 0\.\.1"):
        AppearanceConfig(noise=1.1)
