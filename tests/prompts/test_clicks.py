from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medprism.core.errors import PromptError
from medprism.core.prompt import Click
from medprism.prompts.clicks import (
    draw_inner_click,
    draw_next_click,
    draw_unsteady_click,
    largest_error,
    next_click,
)
from medprism.prompts.components import depth, inner_part

from .phantoms import blobs, hook


def _literal_next_click(mask: np.ndarray, truth: np.ndarray) -> Click | None:
    """Follow the policy word by word on the whole image, with SciPy's components."""
    best = None
    for region, is_positive in ((truth & ~mask, True), (mask & ~truth, False)):
        labels, count = ndimage.label(region)
        for label in range(1, count + 1):
            component = labels == label
            first = int(np.argmax(component))
            rank = (-int(component.sum()), not is_positive, first)
            if best is None or rank < best[0]:
                best = (rank, component, is_positive)
    if best is None:
        return None
    _, component, is_positive = best
    distance = cv2.distanceTransform(np.pad(component, 1).astype(np.uint8), cv2.DIST_L2, 5)[
        1:-1, 1:-1
    ]
    rows, cols = np.nonzero(distance > distance.max() / 3)
    row, col = math.floor(rows.mean() + 0.5), math.floor(cols.mean() + 0.5)
    if not component[row, col]:
        pixels = np.argwhere(component)
        row, col = pixels[np.argmin(((pixels - (row, col)) ** 2).sum(1))]
    return Click(int(row), int(col), is_positive)


@pytest.mark.parametrize("sigma", [0.6, 2.0, 5.0])
@pytest.mark.parametrize("seed", range(6))
def test_next_click_equals_the_literal_policy(seed: int, sigma: float) -> None:
    truth, mask = blobs(seed, sigma=sigma), blobs(seed + 100, sigma=sigma)
    for said in (mask, np.zeros_like(mask), ~truth):
        assert next_click(said, truth) == _literal_next_click(said, truth)


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 13),
    width=st.integers(1, 17),
    density=st.floats(0.0, 1.0),
)
@settings(max_examples=120, deadline=None)
def test_a_click_lies_in_the_error_and_names_its_side(
    seed: int, height: int, width: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    mask, truth = rng.random((2, height, width)) < density
    click = next_click(mask, truth)
    assert click == _literal_next_click(mask, truth)
    drawn = draw_next_click(rng, mask, truth)
    assert (click is None) == (drawn is None) == bool((mask == truth).all())
    for one in (click, drawn):
        if one is not None:
            assert truth[one.row, one.col] == one.is_positive
            assert mask[one.row, one.col] != one.is_positive


def test_the_click_moves_with_the_shape() -> None:
    truth = np.zeros((96, 128), bool)
    truth[:60, :90] = hook()[:60, :90]
    moved = np.roll(truth, (17, 23), axis=(0, 1))
    nothing = np.zeros_like(truth)
    before, after = next_click(nothing, truth), next_click(nothing, moved)
    assert before is not None
    assert after == Click(before.row + 17, before.col + 23, True)


def test_a_tie_goes_to_the_false_negative() -> None:
    truth, mask = np.zeros((2, 20, 30), bool)
    mask[2:5, 3:8] = True
    truth[11:14, 17:22] = True
    assert next_click(mask, truth) == Click(12, 19, True)
    mask[1, 3] = True
    click = next_click(mask, truth)
    assert click is not None
    assert not click.is_positive


def test_equal_components_are_taken_in_raster_order() -> None:
    truth = np.zeros((31, 40), bool)
    for row, col in ((20, 2), (4, 30), (4, 11), (9, 1)):
        truth[row : row + 3, col : col + 5] = True
    assert next_click(np.zeros_like(truth), truth) == Click(5, 13, True)


def test_diagonal_neighbours_are_two_components() -> None:
    truth = np.zeros((12, 20), bool)
    truth[1:4, 1:4] = True
    truth[4:8, 4:12] = True
    assert next_click(np.zeros_like(truth), truth) == Click(6, 8, True)


def test_where_the_centroid_is_outside_the_nearest_pixel_is_clicked() -> None:
    rows, cols = np.ogrid[:50, :70]
    radius = np.hypot(rows - 22, cols - 31)
    ring = (radius < 17) & (radius > 12)
    click = next_click(np.zeros_like(ring), ring)
    assert click is not None
    assert ring[click.row, click.col]
    assert np.hypot(click.row - 22, click.col - 31) == pytest.approx(12.5, abs=1)


def test_image_edges_count_as_outside() -> None:
    truth = np.ones((9, 31), bool)
    assert next_click(np.zeros_like(truth), truth) == Click(4, 15, True)
    assert depth(truth).max() == pytest.approx(5.0)


def test_a_view_gives_the_same_click_as_its_copy() -> None:
    wide = np.repeat(hook(), 2, axis=1)
    view = wide[::-1, ::2]
    nothing = np.zeros_like(view)
    assert next_click(nothing, view) == next_click(nothing, view.copy())


def test_drawn_clicks_reach_every_component_and_stay_inside() -> None:
    region = np.zeros((40, 60), bool)
    region[3:20, 4:30] = True
    region[25:37, 41:55] = True
    rng = np.random.default_rng(5)
    inner = np.zeros_like(region)
    for part in (np.s_[3:20, 4:30], np.s_[25:37, 41:55]):
        inner[part] = inner_part(region[part])
    hits = np.zeros(region.shape, int)
    for _ in range(3000):
        click = draw_inner_click(rng, region, is_positive=True)
        hits[click.row, click.col] += 1
    assert not hits[~inner].any()
    assert (hits[inner] > 0).mean() > 0.95
    share = hits[:, 40:].sum() / hits.sum()
    assert share == pytest.approx(12 * 14 / (12 * 14 + 17 * 26), abs=0.04)


def test_drawn_next_clicks_vary_within_the_same_component() -> None:
    truth, mask = blobs(3), blobs(4)
    exact = next_click(mask, truth)
    assert exact is not None
    labels, _ = ndimage.label(truth & ~mask if exact.is_positive else mask & ~truth)
    drawn = {draw_next_click(np.random.default_rng(seed), mask, truth) for seed in range(40)}
    assert len(drawn) > 5
    for click in drawn:
        assert click is not None
        assert labels[click.row, click.col] == labels[exact.row, exact.col]


def test_draws_depend_only_on_the_generator() -> None:
    region = blobs(8)
    first = draw_inner_click(np.random.default_rng(11), region, is_positive=False)
    again = draw_inner_click(np.random.default_rng(11), region.copy(), is_positive=False)
    assert first == again
    assert not first.is_positive


def test_an_empty_region_cannot_be_clicked() -> None:
    with pytest.raises(PromptError, match="at least one pixel"):
        draw_inner_click(np.random.default_rng(0), np.zeros((4, 6), bool), is_positive=True)


def test_inner_part_of_nothing_is_nothing() -> None:
    assert not inner_part(np.zeros((3, 4), bool)).any()


def test_the_largest_error_is_whole_and_cut_out() -> None:
    mask, truth = blobs(31), blobs(32)
    error = largest_error(mask, truth)
    assert error is not None
    component, is_positive = error
    wrong = truth & ~mask if is_positive else mask & ~truth
    labels, _ = ndimage.label(wrong)
    placed = component.placed(component.mask, (truth.shape[0], truth.shape[1]))
    assert np.array_equal(placed, labels == labels[placed][0])
    assert placed.sum() >= np.bincount(labels.ravel())[1:].max()


def test_an_unsteady_click_scatters_around_the_steady_one_and_stays_inside() -> None:
    truth = np.zeros((40, 90), bool)
    truth[0:3, 84:90] = True
    empty = np.zeros_like(truth)
    drawn = [draw_unsteady_click(np.random.default_rng(i), empty, truth, 4.0) for i in range(400)]
    steady = [draw_next_click(np.random.default_rng(i), empty, truth) for i in range(400)]
    moves = np.array(
        [(a.row - b.row, a.col - b.col) for a, b in zip(drawn, steady, strict=True) if a and b]
    )
    assert all(click is not None and click.is_positive for click in drawn)
    assert all(0 <= click.row < 40 and 0 <= click.col < 90 for click in drawn if click)
    assert moves[:, 0].max() > 8 and moves[:, 1].min() < -8
    assert draw_unsteady_click(np.random.default_rng(0), truth, truth, 4.0) is None


def test_a_hand_without_spread_is_steady() -> None:
    truth = blobs(7, sigma=4.0)
    for seed in range(20):
        steady = draw_next_click(np.random.default_rng(seed), ~truth, truth)
        unsteady = draw_unsteady_click(np.random.default_rng(seed), ~truth, truth, 0.0)
        assert unsteady == steady
