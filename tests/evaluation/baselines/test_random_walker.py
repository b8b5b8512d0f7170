from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import random_walker as reference_walker

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click
from medprism.core.randomness import counter_rng
from medprism.evaluation.baselines.random_walker import WalkerSettings, random_walker, walk
from medprism.metrics.dice import dice
from medprism.prompts.simulate import simulate_clicks
from tests.inference.phantom import scene

PIXELS, MASKS = scene()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("beta", [30.0, 130.0])
def test_probabilities_equal_those_of_scikit_image(channels: int, beta: float) -> None:
    rng = counter_rng(4, "walker", channels)
    grid = rng.random((19, 27, channels))
    grid[4:12, 6:20] += 0.8
    grid /= grid.max()
    labels = np.zeros((19, 27), int)
    labels[6:8, 9:12], labels[16, 3], labels[0, 20:] = 1, 2, 2
    both = reference_walker(
        grid if channels == 3 else grid[..., 0],
        labels,
        beta=beta,
        mode="bf",
        return_full_prob=True,
        channel_axis=-1 if channels == 3 else None,
    )
    ours = walk(grid, labels == 1, labels == 2, beta)
    np.testing.assert_allclose(ours, both[0], atol=1e-6)


def test_a_flat_image_is_the_potential_of_a_grid() -> None:
    """On a line between the two seeds the probability falls evenly."""
    grid = np.full((1, 11, 1), 0.4)
    foreground, background = np.zeros((1, 11), bool), np.zeros((1, 11), bool)
    foreground[0, 0] = background[0, 10] = True
    np.testing.assert_allclose(walk(grid, foreground, background, 130.0)[0], 1 - np.arange(11) / 10)


def test_one_sided_seeds_need_no_walk() -> None:
    grid = np.zeros((3, 4, 1))
    some, none = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    some[1, 1] = True
    assert walk(grid, some, none, 1.0).min() == 1.0
    assert walk(grid, none, some, 1.0).max() == 0.0
    assert walk(grid, some, ~some, 1.0).sum() == 1.0


def test_clicks_segment_a_scene_and_more_clicks_help() -> None:
    image, truth = PIXELS[..., None], MASKS["liver"]
    one = random_walker(image, [Click(30, 30, True)])
    assert dice(one, truth) > 0.9
    both = MASKS["liver"] | MASKS["left kidney"]
    rounds = simulate_clicks(lambda said: random_walker(image, said.clicks), both, dice, limit=4)
    assert rounds.scores[-1] > max(rounds.scores[0], 0.9)
    assert not random_walker(image, [Click(30, 30, False)]).any()
    assert random_walker(image, [Click(0, 0, True)])[0, 0]


def test_a_shrunk_grid_gives_nearly_the_same() -> None:
    image = np.repeat(np.repeat(PIXELS[..., None], 3, 0), 3, 1)
    clicks = [Click(90, 90, True), Click(200, 30, False)]
    small = random_walker(image, clicks, WalkerSettings(long_side=124))
    whole = random_walker(image, clicks, WalkerSettings(long_side=400))
    assert small.shape == image.shape[:2]
    assert dice(small, whole) > 0.95


@pytest.mark.parametrize("change", [{"beta": 0.0}, {"disk": -0.1}, {"long_side": 1}])
def test_settings_are_checked(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="random walker needs"):
        WalkerSettings(**change)  # type: ignore[arg-type]
