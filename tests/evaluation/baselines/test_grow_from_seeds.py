from __future__ import annotations

import numpy as np
import pytest
from skimage.graph import MCP

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click
from medprism.core.randomness import counter_rng
from medprism.evaluation.baselines.grow_from_seeds import GrowSettings, grow, grow_from_seeds
from medprism.metrics.dice import dice
from tests.inference.phantom import scene

PIXELS, MASKS = scene()


def literal(grid: np.ndarray, seeds: np.ndarray, step: float) -> np.ndarray:
    """Relax every edge until nothing changes: shortest paths without a queue."""
    cost = np.where(seeds, 0.0, np.inf)
    for _ in range(cost.size):
        before = cost.copy()
        for row in range(cost.shape[0]):
            for col in range(cost.shape[1]):
                for there in ((row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)):
                    if 0 <= there[0] < cost.shape[0] and 0 <= there[1] < cost.shape[1]:
                        change = np.abs(grid[row, col] - grid[there]).max() + step
                        cost[row, col] = min(cost[row, col], cost[there] + change)
        if np.array_equal(before, cost):
            return cost
    return cost


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixel_goes_to_the_seed_with_the_cheaper_path(channels: int) -> None:
    grid = counter_rng(4, "grow", channels).random((7, 9, channels))
    foreground, background = np.zeros((7, 9), bool), np.zeros((7, 9), bool)
    foreground[2, 3] = foreground[5, 1] = background[4, 7] = background[0, 0] = True
    expected = literal(grid, foreground, 0.05) < literal(grid, background, 0.05)
    assert np.array_equal(grow(grid, foreground, background, 0.05), expected)
    assert 5 < expected.sum() < 58


def test_on_an_even_image_the_nearer_seed_wins_as_scikit_image_counts_steps() -> None:
    grid = np.full((11, 17, 1), 0.4)
    foreground, background = np.zeros((11, 17), bool), np.zeros((11, 17), bool)
    foreground[3, 4], background[8, 13] = True, True
    steps = [
        MCP(np.ones((11, 17)), fully_connected=False).find_costs([seed])[0]
        for seed in ((3, 4), (8, 13))
    ]
    assert np.array_equal(grow(grid, foreground, background, 0.01), steps[0] < steps[1])


def test_one_sided_seeds_take_all_or_nothing() -> None:
    grid = np.zeros((3, 4, 1))
    some, none = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    some[1, 1] = True
    assert grow(grid, some, none, 0.1).all()
    assert not grow(grid, none, some, 0.1).any()


def test_a_click_finds_what_it_is_on() -> None:
    found = grow_from_seeds(PIXELS[..., None], [Click(30, 30, True)])
    assert dice(found, MASKS["liver"]) > 0.9
    assert not grow_from_seeds(PIXELS[..., None], [Click(30, 30, False)]).any()


def test_settings_that_cannot_grow_are_refused() -> None:
    with pytest.raises(ConfigError, match="step > 0"):
        GrowSettings(step=0.0)
