from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medprism.core.errors import LabelError
from medprism.core.labels import Labels, decode_runs, encode_runs

planes = hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))


@given(planes)
def test_runs_come_back_as_they_were(plane: np.ndarray) -> None:
    runs = encode_runs(plane)
    back = decode_runs(runs, plane.shape)
    assert back.dtype == np.bool_
    np.testing.assert_array_equal(back, plane)


@given(planes)
def test_runs_equal_a_slow_loop(plane: np.ndarray) -> None:
    slow = [(value, len(list(group))) for value, group in itertools.groupby(plane.ravel())]
    lengths = [length for _, length in slow]
    assert encode_runs(plane) == ([0, *lengths] if slow and slow[0][0] else lengths)


@pytest.mark.parametrize(
    "runs", [[1, 2], [-1, 5], [5], [2**62] * 4, [10**30, 4 - 10**30], [1.5, 2.5], []]
)
def test_damaged_runs_are_refused(runs: list) -> None:
    undecorated = decode_runs.__wrapped__ if hasattr(decode_runs, "__wrapped__") else decode_runs
    with pytest.raises(LabelError, match=r"add up to 4 for shape \(2, 2\); the mask is damaged"):
        undecorated(runs, (2, 2))


def overlapping() -> Labels:
    organ = np.array([[True, True, True, False]])
    tumour = np.array([[False, True, False, False]])
    vessel = np.array([[False, True, True, True]])
    return Labels({"organ": organ, "tumour": tumour, "vessel": vessel})


def test_the_last_label_wins_by_default_and_losses_are_counted() -> None:
    merged = overlapping().to_map()
    assert merged.array.tolist() == [[1, 3, 3, 3]]
    assert dict(merged.names) == {1: "organ", 2: "tumour", 3: "vessel"}
    assert dict(merged.dropped) == {"organ": 2, "tumour": 1, "vessel": 0}


def test_priority_decides_and_repeats_change_nothing() -> None:
    for priority in (("tumour", "organ"), ("tumour", "organ", "tumour")):
        merged = overlapping().to_map(priority)
        assert merged.array.tolist() == [[1, 2, 1, 3]]
        assert dict(merged.dropped) == {"organ": 1, "tumour": 0, "vessel": 2}


@given(hnp.arrays(bool, (4, 3, 5)), st.permutations(["a", "b", "c", "d"]))
def test_every_pixel_belongs_to_the_first_label_of_the_priority_that_covers_it(
    stack: np.ndarray, priority: list[str]
) -> None:
    labels = Labels(dict(zip("abcd", stack, strict=True)))
    merged = labels.to_map(tuple(priority))
    for row, col in np.ndindex(3, 5):
        holders = [name for name in priority if labels[name][row, col]]
        expected = labels.names.index(holders[0]) + 1 if holders else 0
        assert merged.array[row, col] == expected
    for name, plane in labels:
        kept = int((merged.array == labels.names.index(name) + 1).sum())
        assert merged.dropped[name] == int(plane.sum()) - kept


@pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_more_than_255_labels_need_16_bit(count: int, dtype: type) -> None:
    stack = np.eye(count, dtype=bool)
    merged = Labels({f"cell {n}": plane for n, plane in enumerate(stack)}).to_map()
    assert merged.array.dtype == dtype
    np.testing.assert_array_equal(merged.array, np.arange(1, count + 1))


def test_wrong_labels_are_refused() -> None:
    labels = overlapping()
    with pytest.raises(LabelError, match="no label 'spleen'; there is organ, tumour, vessel"):
        labels.to_map(("spleen",))
    with pytest.raises(LabelError, match="0 labels cannot form a map"):
        Labels({}).to_map()
    with pytest.raises(LabelError, match="different shapes"):
        Labels({"a": np.zeros((2, 3), bool), "b": np.zeros((3, 2), bool)})


def test_labels_behave_like_an_ordered_mapping() -> None:
    labels = overlapping()
    assert labels.names == ("organ", "tumour", "vessel")
    assert len(labels) == 3
    assert "tumour" in labels
    assert "liver" not in labels
    assert [name for name, _ in labels] == list(labels.names)
