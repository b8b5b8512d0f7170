from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medprism.core.prompt import Box, Click, Lasso, Scribble
from medprism.core.randomness import counter_rng
from medprism.prompts.clicks import next_click
from medprism.training.simulated import OPENINGS, draw_opening
from tests.phantoms import draw_phantom

TRUTH = draw_phantom(5, 80, 112).masks[0]


def test_every_opening_says_where_the_structure_is() -> None:
    for number in range(400):
        said = draw_opening(counter_rng(1, number, "opening"), TRUTH)
        assert said.is_positive
        match said:
            case Click(row=row, col=col):
                assert TRUTH[row, col]
            case Scribble(mask=mask):
                assert (mask & TRUTH).sum() >= 0.8 * mask.sum()
            case Box(top=top, left=left, bottom=bottom, right=right):
                assert TRUTH[top:bottom, left:right].sum() >= 0.7 * TRUTH.sum()
            case Lasso(mask=mask):
                assert (mask & TRUTH).sum() >= 0.7 * TRUTH.sum()


def test_the_shares_of_openings_are_kept() -> None:
    assert sum(OPENINGS) == pytest.approx(1.0)
    centred = next_click(np.zeros_like(TRUTH), TRUTH)
    kinds: Counter[str] = Counter()
    for number in range(1500):
        said = draw_opening(counter_rng(2, number, "opening"), TRUTH)
        kinds["centred" if said == centred else type(said).__name__] += 1
    names = ("centred", "Click", "Scribble", "Box", "Lasso")
    for name, share in zip(names, OPENINGS, strict=True):
        assert abs(kinds[name] / 1500 - share) < 0.04


def test_the_same_counter_gives_the_same_opening() -> None:
    for number in range(20):
        one, other = (draw_opening(counter_rng(3, number, "o"), TRUTH) for _ in range(2))
        assert type(one) is type(other)
        if isinstance(one, Click | Box):
            assert one == other
        elif isinstance(other, Scribble | Lasso):
            assert np.array_equal(one.mask, other.mask)


def test_a_single_pixel_can_be_opened() -> None:
    truth = np.zeros((20, 30), bool)
    truth[7, 21] = True
    for number in range(60):
        said = draw_opening(counter_rng(4, number, "opening"), truth)
        if isinstance(said, Click):
            assert (said.row, said.col) == (7, 21)
