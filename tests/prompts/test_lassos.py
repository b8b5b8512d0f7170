from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import convex_hull_image

from medprism.core.errors import ConfigError, PromptError
from medprism.prompts.lassos import draw_excluding_lasso, draw_lasso

from .phantoms import blobs, hook


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 24),
    width=st.integers(1, 30),
    slack=st.floats(0.0, 2.0),
)
@settings(max_examples=80, deadline=None)
def test_a_lasso_contains_the_structure_in_one_piece(
    seed: int, height: int, width: int, slack: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((height, width)) < 0.1
    truth[rng.integers(height), rng.integers(width)] = True
    lasso = draw_lasso(rng, truth, slack)
    assert lasso.is_positive
    assert not (truth & ~lasso.mask).any()
    assert ndimage.label(lasso.mask, np.ones((3, 3)))[1] == 1


def test_without_slack_it_is_the_hull_one_pixel_wider() -> None:
    lasso = draw_lasso(np.random.default_rng(0), hook(), 0.0).mask
    hull = convex_hull_image(ndimage.binary_dilation(hook(), np.ones((3, 3))))
    # The two libraries may differ along the outline by a pixel.
    assert (lasso ^ hull).sum() < 0.02 * hull.sum()


def test_slack_bounds_how_loose_it_is() -> None:
    tight = draw_lasso(np.random.default_rng(0), hook(), 0.0).mask.sum()
    areas = [draw_lasso(np.random.default_rng(seed), hook(), 0.4).mask.sum() for seed in range(40)]
    assert min(areas) > tight
    assert max(areas) < 1.4**2 * tight + 200
    assert np.std(areas) > 0.02 * tight


@pytest.mark.parametrize("seed", range(8))
def test_an_excluding_lasso_is_one_piece_of_background(seed: int) -> None:
    truth = blobs(seed, sigma=4.0)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        lasso = draw_excluding_lasso(rng, ~truth)
        assert not lasso.is_positive
        assert lasso.mask.any()
        assert not (lasso.mask & truth).any()
        assert ndimage.label(lasso.mask)[1] == 1


def test_lassos_depend_only_on_the_generator() -> None:
    def loose(rng: np.random.Generator) -> np.ndarray:
        return draw_lasso(rng, hook(), 0.3).mask

    def excluding(rng: np.random.Generator) -> np.ndarray:
        return draw_excluding_lasso(rng, hook()).mask

    for draw in (loose, excluding):
        masks = [draw(np.random.default_rng(seed)).tobytes() for seed in range(12)]
        assert masks == [draw(np.random.default_rng(seed)).tobytes() for seed in range(12)]
        assert len(set(masks)) >= 4


def test_what_cannot_be_lassoed_is_refused() -> None:
    nothing = np.zeros((4, 6), bool)
    with pytest.raises(PromptError, match="empty structure"):
        draw_lasso(np.random.default_rng(0), nothing, 0.1)
    with pytest.raises(PromptError, match="empty region"):
        draw_excluding_lasso(np.random.default_rng(0), nothing)
    with pytest.raises(ConfigError, match="-0.1 must be at least 0"):
        draw_lasso(np.random.default_rng(0), ~nothing, -0.1)
