import numpy as np
import pytest

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.data.appearance import Appearance, AppearanceConfig
from medprism.data.augment import WarpConfig, plain_warp, prepare_sampling
from medprism.data.view import ViewConfig, draw_view, render
from tests.data.phantoms import comma, picture

SHAPE = (90, 140)
QUIET = AppearanceConfig(tone=0.0, colour=0.0, invert_grey=0.0, to_grey=0.0, blur=0.0, noise=0.0)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("size", [32, 64])
def test_a_target_stays_visible_wherever_it_lies(seed: int, size: int) -> None:
    rng = counter_rng(seed, "dots")
    plane = np.zeros(SHAPE, bool)
    plane[int(rng.integers(SHAPE[0])), int(rng.integers(SHAPE[1]))] = True
    config = ViewConfig(warp=WarpConfig(max_shift=0.5))
    _, target = draw_view(rng, plane, size, config)
    # One pixel in the closest zoom is (size / 32) ** 2 canvas pixels.
    assert target.sum() / 255 >= min(12, 0.9 * (size / 32) ** 2)


def test_the_last_resort_is_the_upright_zoom() -> None:
    plane = np.zeros(SHAPE, bool)
    plane[80:82, 3:6] = True
    config = ViewConfig(zoom=0.0, warp=WarpConfig(max_scale=0.8))
    sampling, target = draw_view(counter_rng(0, "last"), plane, 64, config)
    assert sampling.warp.scale == 2.0
    assert not sampling.warp.is_plain
    assert config.is_visible(target)


def test_grey_is_repeated_and_padding_stays_black() -> None:
    image = picture(SHAPE, comma(SHAPE, 9, 5, 30), 1)[..., None]
    sampling = prepare_sampling(plain_warp(SHAPE, 64))
    loud = AppearanceConfig(tone=1.0, noise=1.0, blur=1.0, max_brightness=1.0)
    for seed in range(5):
        canvas = render(counter_rng(seed, "loud"), image, sampling, loud)
        assert canvas.shape == (64, 64, 3)
        np.testing.assert_array_equal(canvas[..., 0], canvas[..., 2])
        assert not canvas[41:].any()


def test_a_shared_change_comes_first() -> None:
    image = picture(SHAPE, comma(SHAPE, 9, 5, 30), 1)[..., None]
    sampling = prepare_sampling(plain_warp(SHAPE, 64))
    plain = render(counter_rng(0, "a"), image, sampling, QUIET)
    changed = render(counter_rng(0, "a"), image, sampling, QUIET, Appearance(is_inverted=True))
    np.testing.assert_array_equal(changed[:41], 255 - plain[:41])


@pytest.mark.parametrize("change", [{"zoom": 1.5}, {"min_pixels": 0}])
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ViewConfig(**change)  # type: ignore[arg-type]
