from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from medprism.core.errors import ImageReadError
from medprism.io.run_length import Mask2d, column_runs, compress, expand, from_runs

masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 15)))


@settings(max_examples=100, deadline=None)
@given(masks)
def test_codes_equal_those_of_pycocotools(mask: Mask2d) -> None:
    theirs = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    text = compress(column_runs(mask))
    assert text == theirs["counts"].decode("ascii")
    np.testing.assert_array_equal(from_runs(expand(text), *mask.shape), mask)


def test_long_runs_equal_those_of_pycocotools() -> None:
    mask = np.zeros((700, 900), bool)
    mask[3:650, 5:880], mask[100:101, 6:7], mask[-1, -1] = True, False, True
    theirs = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    assert compress(column_runs(mask)).encode() == theirs["counts"]


@given(st.lists(st.integers(0, 2**40), max_size=12))
def test_any_runs_come_back(runs: list[int]) -> None:
    assert expand(compress(runs)) == runs


@pytest.mark.parametrize(
    ("text", "reason"),
    [("5 2", "holds ' ', which the code"), ("5é", "holds 'é'"), ("5X", "ends within a number")],
)
def test_damaged_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ImageReadError, match=reason):
        expand(text)


def test_a_number_without_end_is_refused() -> None:
    with pytest.raises(ImageReadError, match="which the code of COCO does not"):
        expand("o" * 40)


@pytest.mark.parametrize("runs", [[], [5], [7], [2, -1, 5], [2.5, 3.5], ["6"], [3, 4]])
def test_runs_that_do_not_add_up_are_refused(runs: list[int]) -> None:
    with pytest.raises(ImageReadError, match="do not add up to 2 x 3 pixels"):
        from_runs(runs, 2, 3)
