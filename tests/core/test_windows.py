from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.core.windows import cover_mask, window_places, window_shape, window_starts


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(1, 300), size=st.integers(1, 80), overlap=st.sampled_from([0.0, 0.5, 0.9])
)
def test_windows_cover_an_axis_and_overlap(length: int, size: int, overlap: float) -> None:
    starts = window_starts(length, size, overlap)
    seen = np.zeros(max(length, size), int)
    for start in starts:
        seen[start : start + size] += 1
    assert (seen > 0).all()
    assert starts[0] == 0
    assert starts[-1] == max(0, length - size)
    steps = np.diff(starts)
    assert (steps >= 1).all() or len(starts) == 1
    assert (steps <= max(1, size * (1 - overlap)) + 1e-9).all()


def test_places_are_those_of_all_axes() -> None:
    places = list(window_places((100, 64, 20), (64, 64, 32)))
    assert len(places) == len(set(places)) == 3
    assert {place[1:] for place in places} == {(0, 0)}


def test_the_window_that_shows_most_is_the_one_a_search_finds() -> None:
    rng = np.random.default_rng(2)
    mask = rng.random((12, 17, 9)) < 0.1
    mask[7:11, 3:9, 1:4] = True
    window = (5, 8, 4)
    counts = {
        (i, j, k): int(mask[i : i + 5, j : j + 8, k : k + 4].sum())
        for i in range(8)
        for j in range(10)
        for k in range(6)
    }
    assert counts[cover_mask(mask, window)] == max(counts.values())


def test_a_whole_structure_lies_in_the_middle_of_its_window() -> None:
    mask = np.zeros((40, 50, 60), bool)
    mask[10:14, 20:31, 33:40] = True
    start = cover_mask(mask, (16, 16, 16))
    assert start == (4, 18, 28) or start == (4, 17, 28)
    assert cover_mask(np.zeros((40, 8, 40), bool), (16, 16, 16)) == (12, 0, 12)


def test_what_cannot_be_a_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 16"):
        window_shape((30, 30, 30), 40, 16)
    with pytest.raises(ConfigError, match="overlap"):
        window_starts(30, 10, 1.0)
