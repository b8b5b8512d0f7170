from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from medprism.core.errors import PromptError
from medprism.core.prompt import (
    Box,
    Click,
    Interaction,
    Interactions,
    Lasso,
    Scribble,
    bounding_box,
    check_interaction,
)

SHAPE = (40, 70)
DOT = np.zeros(SHAPE, bool)
DOT[39, 69] = True


@pytest.mark.parametrize(
    "interaction",
    [
        Click(0, 0, is_positive=True),
        Click(39, 69, is_positive=False),
        Box(0, 0, 40, 70, is_positive=True),
        Box(39, 69, 40, 70, is_positive=False),
        Scribble(DOT, is_positive=True),
        Lasso(DOT, is_positive=False),
    ],
)
def test_what_lies_on_the_slice_is_accepted(interaction: Interaction) -> None:
    check_interaction(interaction, SHAPE)


@pytest.mark.parametrize(
    ("interaction", "reason"),
    [
        (Click(40, 0, is_positive=True), r"click \(40, 0\) .* row must be 0..39 and col 0..69"),
        (Click(0, 70, is_positive=True), "outside the slice of 40 x 70"),
        (Click(-1, 3, is_positive=True), "outside"),
        (Box(3, 3, 3, 9, is_positive=True), "non-empty"),
        (Box(3, 9, 5, 3, is_positive=True), "non-empty"),
        (Box(-1, 0, 5, 5, is_positive=True), "inside the slice"),
        (Box(0, 0, 41, 70, is_positive=True), "inside the slice"),
        (Scribble(DOT.T.copy(), is_positive=True), "scribble mask has shape"),
        (Lasso(DOT.T.copy(), is_positive=True), "lasso mask has shape"),
        (Scribble(np.zeros(SHAPE, bool), is_positive=True), "scribble covers no pixel"),
        (Lasso(np.zeros(SHAPE, bool), is_positive=False), "lasso covers no pixel"),
    ],
)
def test_what_does_not_is_refused(interaction: Interaction, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        check_interaction(interaction, SHAPE)


def test_interactions_keep_their_order_and_never_change() -> None:
    first, second = Click(1, 2, is_positive=True), Box(0, 0, 4, 4, is_positive=True)
    empty = Interactions()
    both = empty.with_added(first).with_added(second)
    assert both.items == (first, second)
    assert both.clicks == (first,)
    assert not empty
    assert both


@given(hnp.arrays(bool, (2, 6, 9)))
def test_the_box_is_the_smallest_that_holds_all_masks(stack: np.ndarray) -> None:
    found = bounding_box(list(stack))
    points = np.argwhere(stack.any(0))
    if points.size == 0:
        assert found is None
        return
    low, high = points.min(0), points.max(0) + 1
    assert found == (low[0], low[1], high[0], high[1])


def test_no_mask_has_no_box() -> None:
    assert bounding_box([]) is None
