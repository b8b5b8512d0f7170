from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medprism.core.errors import PromptError
from medprism.prompts.clicks import largest_error
from medprism.prompts.scribbles import draw_next_scribble, draw_scribble

from .phantoms import blobs, hook


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 25),
    width=st.integers(1, 31),
    density=st.floats(0.05, 1.0),
)
@settings(max_examples=80, deadline=None)
def test_a_stroke_is_never_empty_and_stays_inside(
    seed: int, height: int, width: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    region = rng.random((height, width)) < density
    region[rng.integers(height), rng.integers(width)] = True
    scribble = draw_scribble(rng, region, is_positive=False)
    assert not scribble.is_positive
    assert scribble.mask.any()
    assert not (scribble.mask & ~region).any()


@pytest.mark.parametrize("region", [hook(), blobs(1, 128, 160, 6.0), np.ones((64, 90), bool)])
def test_strokes_are_thin_varied_and_in_one_component(region: np.ndarray) -> None:
    labels, _ = ndimage.label(region)
    strokes = [draw_scribble(np.random.default_rng(seed), region, True).mask for seed in range(30)]
    assert len({stroke.tobytes() for stroke in strokes}) == 30
    for stroke in strokes:
        assert len(np.unique(labels[stroke])) == 1
        # 3 pixels thick is 2 deep at most where a stroke does not cross itself.
        assert np.median(ndimage.distance_transform_edt(np.pad(stroke, 1))[1:-1, 1:-1][stroke]) <= 2
    assert np.mean([stroke.sum() for stroke in strokes]) > 10


def test_a_stroke_follows_a_vessel() -> None:
    cols = np.arange(20, 230)
    middle = (128 - 60 * np.sin(cols / 25)).astype(int)
    vessel = np.zeros((200, 256), bool)
    for offset in range(-4, 5):
        vessel[middle + offset, cols] = True
    lengths = []
    for seed in range(40):
        stroke = draw_scribble(np.random.default_rng(seed), vessel, True).mask
        rows, across = np.nonzero(stroke)
        lengths.append(np.hypot(np.ptp(rows), np.ptp(across)))
    # A heading drawn blindly would often run across the vessel and end there.
    assert np.quantile(lengths, 0.1) > 55


def test_the_next_scribble_is_drawn_in_the_error_that_is_clicked() -> None:
    mask, truth = blobs(21), blobs(22)
    error = largest_error(mask, truth)
    assert error is not None
    component, is_positive = error
    whole = component.placed(component.mask, (mask.shape[0], mask.shape[1]))
    scribble = draw_next_scribble(np.random.default_rng(1), mask, truth)
    assert scribble is not None
    assert scribble.is_positive == is_positive
    assert not (scribble.mask & ~whole).any()
    assert draw_next_scribble(np.random.default_rng(1), truth, truth) is None


def test_strokes_depend_only_on_the_generator() -> None:
    first = draw_scribble(np.random.default_rng(11), hook(), True)
    again = draw_scribble(np.random.default_rng(11), hook(), True)
    assert np.array_equal(first.mask, again.mask)


def test_an_empty_region_has_no_stroke() -> None:
    with pytest.raises(PromptError, match="at least one pixel"):
        draw_scribble(np.random.default_rng(0), np.zeros((4, 6), bool), True)
