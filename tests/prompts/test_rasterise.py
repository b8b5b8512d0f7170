from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medprism.core.errors import PromptError
from medprism.core.preprocess import Fit, fit_to, place_mask
from medprism.core.prompt import Box, Click, Interaction, Interactions, Lasso, Scribble
from medprism.prompts.rasterise import CanvasPrompt, mark_points, pad_queries, to_canvas

from .phantoms import hook

SAME = Fit((96, 128), (96, 128), (96, 128))


def _said(*items: Interaction, fit: Fit = SAME) -> CanvasPrompt:
    return to_canvas(Interactions(items), fit)


@pytest.mark.parametrize("radius", [0.0, 1.0, 2.5])
def test_marks_equal_a_loop_over_pixels(radius: float) -> None:
    generator = torch.Generator().manual_seed(3)
    position = torch.rand(3, 5, 2, generator=generator) * torch.tensor([14.0, 20.0]) - 1
    is_positive = torch.rand(3, 5, generator=generator) > 0.5
    valid = torch.rand(3, 5, generator=generator) > 0.3
    expected = torch.zeros(3, 2, 12, 19)
    for request, click in itertools.product(range(3), range(5)):
        if not valid[request, click]:
            continue
        row, col = (int(np.floor(v + 0.5)) for v in position[request, click].tolist())
        channel = 0 if is_positive[request, click] else 1
        for y, x in itertools.product(range(12), range(19)):
            if np.hypot(y - row, x - col) <= radius:
                expected[request, channel, y, x] = 1
    assert torch.equal(mark_points(position, is_positive, valid, 12, 19, radius), expected)


def test_no_click_marks_nothing_and_overlapping_clicks_stay_one() -> None:
    none = torch.zeros(2, 0, dtype=torch.bool)
    assert mark_points(torch.zeros(2, 0, 2), none, none, 4, 6).abs().sum() == 0
    yes = torch.ones(1, 300, dtype=torch.bool)
    marks = mark_points(torch.full((1, 300, 2), 2.0), yes, yes, 5, 6)
    assert marks.max() == 1
    assert marks.sum() == 5
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mark_points(torch.full((1, 300, 2), 2.0), yes, yes, 5, 6), marks)


def test_marking_is_export_safe() -> None:
    class Marker(torch.nn.Module):
        def forward(
            self, position: torch.Tensor, is_positive: torch.Tensor, valid: torch.Tensor
        ) -> torch.Tensor:
            return mark_points(position, is_positive, valid, 12, 20)

    position = torch.tensor([[[3.2, 7.5], [9.0, 1.0]], [[0.0, 19.0], [0.0, 0.0]]])
    sign = torch.tensor([[True, False], [False, True]])
    valid = torch.tensor([[True, True], [True, False]])
    clicks = torch.export.Dim("clicks", max=64)
    shapes = ({1: clicks}, {1: clicks}, {1: clicks})
    program = torch.export.export(Marker(), (position, sign, valid), dynamic_shapes=shapes)
    longer = tuple(torch.cat([item, item, item], 1) for item in (position + 1, sign, valid))
    assert torch.equal(program.module()(*longer), Marker()(*longer))
    names = {str(node.target) for node in program.graph.nodes}
    assert not any("nonzero" in name or "item" in name or "index" in name for name in names)


def test_a_click_is_one_query_and_a_cross() -> None:
    prompt = _said(Click(10, 30, True), Click(50, 7, False))
    assert prompt.position.tolist() == [[10, 30], [50, 7]]
    assert prompt.is_positive.tolist() == [True, False]
    for channel, (row, col) in enumerate(((10, 30), (50, 7))):
        marked = {tuple(pixel) for pixel in np.argwhere(prompt.dense[channel]).tolist()}
        cross = {(row, col), (row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)}
        assert marked == cross


def test_a_click_is_marked_where_training_marks_its_query() -> None:
    fit = fit_to((201, 333), 128)
    prompt = _said(Click(0, 332, True), Click(200, 0, False), Click(77, 101, True), fit=fit)
    position, is_positive, valid = pad_queries([prompt])
    marks = mark_points(position, is_positive, valid, *fit.canvas)[0]
    assert np.array_equal(marks.numpy(), prompt.dense)
    inside = prompt.position <= np.array(fit.resized) - 1
    assert inside.all()
    assert (prompt.position >= 0).all()


@pytest.mark.parametrize("long_side", [48, 128, 256])
@pytest.mark.parametrize("is_positive", [True, False])
def test_a_thin_scribble_never_vanishes(long_side: int, is_positive: bool) -> None:
    fit = fit_to((96, 128), long_side)
    stroke = np.zeros((96, 128), bool)
    steps = np.arange(60)
    stroke[10 + steps, 20 + (1.5 * steps).astype(int)] = True
    prompt = _said(Scribble(stroke, is_positive), fit=fit)
    marked = prompt.dense[0 if is_positive else 1] == 1
    for row, col in np.argwhere(stroke):
        at = np.floor(np.array(fit.to_canvas(float(row), float(col))) + 0.5).astype(int)
        assert marked[tuple(np.clip(at, 0, np.array(fit.resized) - 1))]
    assert (marked | (place_mask(stroke, fit) < 0.5)).all()
    assert not prompt.dense[1 if is_positive else 0].any()
    assert 2 <= len(prompt.position) <= 8
    assert (prompt.is_positive == is_positive).all()
    assert marked[tuple(prompt.position.astype(int).T)].all()


def test_queries_of_a_scribble_are_spread_evenly_along_it() -> None:
    stroke = np.zeros((96, 128), bool)
    stroke[40, 11:117] = True
    position = _said(Scribble(stroke, True)).position
    assert len(position) == 8
    gaps = np.diff(np.sort(position[:, 1]))
    assert gaps.max() <= 2.3 * gaps.min()
    assert {11, 116} <= set(position[:, 1].tolist())


def test_a_dot_of_a_scribble_is_one_query() -> None:
    dot = np.zeros((96, 128), bool)
    dot[5:7, 9:11] = True
    assert len(_said(Scribble(dot, False)).position) == 1


def test_a_positive_box_says_outside_is_not_and_inside_is() -> None:
    prompt = _said(Box(20, 30, 41, 75, True))
    assert not prompt.dense[0].any()
    area = np.zeros((96, 128), bool)
    area[20:41, 30:75] = True
    ring = np.zeros_like(area)
    ring[19:42, 29:76] = True
    assert np.array_equal(prompt.dense[1], (ring & ~area).astype(np.float32))
    positive = prompt.position[prompt.is_positive]
    assert positive.tolist() == [[30, 52]]
    negative = prompt.position[~prompt.is_positive].astype(int)
    assert len(negative) == 8
    assert prompt.dense[1][tuple(negative.T)].all()


def test_a_box_equals_the_lasso_of_its_area() -> None:
    area = np.zeros((96, 128), bool)
    area[3:17, 40:101] = True
    for is_positive, side in itertools.product((True, False), (64, 128, 160)):
        fit = fit_to((96, 128), side)
        box = _said(Box(3, 40, 17, 101, is_positive), fit=fit)
        lasso = _said(Lasso(area, is_positive), fit=fit)
        assert np.array_equal(box.dense, lasso.dense)
        assert np.array_equal(box.position, lasso.position)
        assert np.array_equal(box.is_positive, lasso.is_positive)


def test_a_positive_lasso_has_its_point_at_the_innermost_place() -> None:
    prompt = _said(Lasso(hook(), True))
    exact = ndimage.distance_transform_edt(np.pad(hook(), 1))[1:-1, 1:-1]
    row, col = prompt.position[prompt.is_positive][0].astype(int)
    assert exact[row, col] > exact.max() - 0.5
    outline = ndimage.binary_dilation(hook(), np.ones((3, 3))) & ~hook()
    assert np.array_equal(prompt.dense[1] == 1, outline)


def test_an_enclosure_of_everything_leaves_only_the_point_inside() -> None:
    prompt = _said(Box(0, 0, 96, 128, True))
    assert not prompt.dense.any()
    assert prompt.is_positive.tolist() == [True]


def test_a_negative_box_fills_its_area() -> None:
    prompt = _said(Box(20, 30, 41, 75, False))
    assert not prompt.dense[0].any()
    assert np.array_equal(np.argwhere(prompt.dense[1])[[0, -1]], [[20, 30], [40, 74]])
    assert prompt.dense[1].sum() == 21 * 45
    assert not prompt.is_positive.any()
    assert 4 <= len(prompt.position) <= 8
    assert prompt.dense[1][tuple(prompt.position.astype(int).T)].all()


@pytest.mark.parametrize("is_positive", [True, False])
def test_a_one_pixel_enclosure_survives_a_small_canvas(is_positive: bool) -> None:
    fit = fit_to((600, 900), 96)
    prompt = _said(Box(250, 601, 251, 602, is_positive), fit=fit)
    assert prompt.dense[1].any()
    assert prompt.position[prompt.is_positive == is_positive].tolist() == [[26, 64]]


def test_outlines_never_touch_what_they_enclose() -> None:
    fit = fit_to((96, 128), 48)
    prompt = _said(Lasso(hook(), True), fit=fit)
    assert not (prompt.dense[1].astype(bool) & (place_mask(hook(), fit) >= 0.5)).any()


def test_the_order_changes_no_mark_and_no_set_of_queries() -> None:
    stroke = np.zeros((96, 128), bool)
    stroke[60, 20:90] = True
    items: list[Interaction] = [
        Click(10, 30, True),
        Scribble(stroke, False),
        Box(20, 30, 41, 75, True),
        Lasso(hook(), False),
    ]
    first = _said(*items)
    for order in itertools.permutations(items):
        other = _said(*order)
        assert np.array_equal(first.dense, other.dense)
        for sign in (True, False):
            expected = sorted(first.position[first.is_positive == sign].tolist())
            assert sorted(other.position[other.is_positive == sign].tolist()) == expected


def test_nothing_said_is_nothing_marked() -> None:
    prompt = _said()
    assert prompt.position.shape == (0, 2)
    assert not prompt.dense.any()


@given(
    source=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    side=st.sampled_from([16, 48]),
    where=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    sign=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_query_lies_on_the_canvas(
    source: tuple[int, int], side: int, where: tuple[float, float], sign: bool
) -> None:
    fit = fit_to(source, side)
    row, col = int(where[0] * source[0]), int(where[1] * source[1])
    stroke = np.zeros(source, bool)
    stroke[row, col:] = True
    prompt = _said(
        Click(row, col, sign),
        Box(row, col, source[0], source[1], sign),
        Scribble(stroke, sign),
        Lasso(stroke, sign),
        fit=fit,
    )
    assert prompt.dense.shape == (2, *fit.canvas)
    assert set(np.unique(prompt.dense).tolist()) <= {0.0, 1.0}
    assert (prompt.position >= 0).all()
    assert (prompt.position <= np.array(fit.canvas) - 1).all()
    assert prompt.is_positive.any() or not sign


def test_what_lies_outside_the_slice_is_refused() -> None:
    with pytest.raises(PromptError, match="lies outside"):
        _said(Click(96, 3, True))
    with pytest.raises(PromptError, match="shape"):
        _said(Scribble(np.ones((128, 96), bool), True))


def test_padding_keeps_every_query() -> None:
    prompts = [_said(Click(1, 2, True)), _said(), _said(Box(20, 30, 41, 75, True))]
    position, is_positive, valid = pad_queries(prompts)
    assert position.shape == (3, 9, 2)
    assert valid.sum(1).tolist() == [1, 0, 9]
    for index, prompt in enumerate(prompts):
        assert np.array_equal(position[index][valid[index]].numpy(), prompt.position)
        assert np.array_equal(is_positive[index][valid[index]].numpy(), prompt.is_positive)
    assert pad_queries([_said()])[0].shape == (1, 1, 2)
