from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from medprism.core.errors import ConfigError, PromptError
from medprism.core.prompt import Box, check_interaction
from medprism.prompts.boxes import INWARD_SHARE, draw_box, draw_excluding_box

from .phantoms import blobs, hook


def test_without_jitter_it_is_the_tight_box() -> None:
    box = draw_box(np.random.default_rng(4), hook(), 0.0)
    tight = regionprops(hook().astype(int))[0].bbox
    assert (box.top, box.left, box.bottom, box.right) == tight
    assert box.is_positive


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 20),
    width=st.integers(1, 26),
    jitter=st.floats(0.0, 1.0),
)
@settings(max_examples=100, deadline=None)
def test_edges_keep_their_promise(seed: int, height: int, width: int, jitter: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((height, width)) < 0.1
    truth[rng.integers(height), rng.integers(width)] = True
    box = draw_box(rng, truth, jitter)
    check_interaction(box, (height, width))
    rows, cols = np.nonzero(truth)
    tight = Box(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1, True)
    for low, high, tight_low, tight_high in (
        (box.top, box.bottom, tight.top, tight.bottom),
        (box.left, box.right, tight.left, tight.right),
    ):
        side = tight_high - tight_low
        for outwards in (tight_low - low, high - tight_high):
            assert -INWARD_SHARE * jitter * side - 1 < outwards < jitter * side + 1


def test_boxes_are_mostly_loose_and_sometimes_cut() -> None:
    rng = np.random.default_rng(6)
    boxes = [draw_box(rng, hook(), 0.5) for _ in range(300)]
    tight = draw_box(rng, hook(), 0.0)
    cut = np.mean([box.top > tight.top for box in boxes])
    assert 0.05 < cut < 0.3
    assert np.std([box.left for box in boxes]) > 1


@pytest.mark.parametrize("seed", range(8))
def test_an_excluding_box_holds_background_only(seed: int) -> None:
    truth = blobs(seed, sigma=6.0)
    rng = np.random.default_rng(seed)
    for _ in range(40):
        box = draw_excluding_box(rng, ~truth)
        check_interaction(box, truth.shape)
        assert not box.is_positive
        assert not truth[box.top : box.bottom, box.left : box.right].any()


def test_excluding_boxes_of_single_pixels_are_single_pixels() -> None:
    region = np.zeros((5, 9), bool)
    region[4, 8] = True
    assert draw_excluding_box(np.random.default_rng(1), region) == Box(4, 8, 5, 9, False)


def test_what_cannot_be_boxed_is_refused() -> None:
    nothing = np.zeros((4, 6), bool)
    with pytest.raises(PromptError, match="empty structure"):
        draw_box(np.random.default_rng(0), nothing, 0.1)
    with pytest.raises(PromptError, match="empty region"):
        draw_excluding_box(np.random.default_rng(0), nothing)
    with pytest.raises(ConfigError, match=r"1\.5 must lie in 0\.\.1"):
        draw_box(np.random.default_rng(0), ~nothing, 1.5)
