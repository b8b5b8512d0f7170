from __future__ import annotations

import numpy as np
import pytest

from medprism.inference.annotation import Annotation, LabelState, SliceResult, SliceState
from medprism.inference.packed_mask import PackedMask
from medprism.inference.replay import compare
from medprism.metrics.dice import dice


def _annotation(**masks: np.ndarray) -> Annotation:
    labels = {}
    for name, stack in masks.items():
        results = {
            index: SliceState(result=SliceResult(PackedMask.pack(plane), 1.0, None, None))
            for index, plane in enumerate(stack)
        }
        labels[name] = LabelState(slices=results)
    return Annotation(labels)


def _blob(rows: int) -> np.ndarray:
    stack = np.zeros((3, 40, 60), bool)
    stack[1, 3 : 3 + rows, 5:55] = True
    return stack


def test_equal_masks_are_identical() -> None:
    report = compare(_annotation(a=_blob(9)), _annotation(a=_blob(9)), same_origin=True)
    assert (report.is_identical, report.is_faithful, report.notice) == (True, True, None)
    assert report.dice == {"a": 1.0}


def test_dice_is_over_all_slices_of_each_label() -> None:
    seen, rebuilt = _blob(20), _blob(20)
    rebuilt[2, 7, 8:12] = True
    report = compare(_annotation(a=seen, b=seen), _annotation(a=rebuilt, b=seen), same_origin=False)
    assert report.dice == pytest.approx({"a": dice(seen, rebuilt), "b": 1.0})
    assert not report.is_identical
    assert not report.is_faithful
    assert report.notice is not None
    assert "'a'" in report.notice
    assert "versions differ; the stored masks are kept" in report.notice


def test_a_pixel_in_many_is_still_faithful() -> None:
    seen, rebuilt = _blob(30), _blob(30)
    rebuilt[1, 3, 5] = False
    report = compare(_annotation(a=seen), _annotation(a=rebuilt), same_origin=False)
    assert not report.is_identical
    assert report.is_faithful


def test_a_difference_in_spite_of_the_same_origin_is_said() -> None:
    report = compare(_annotation(a=_blob(3)), _annotation(a=_blob(4)), same_origin=True)
    assert report.notice is not None
    assert "although model and versions are the same" in report.notice


def test_a_label_on_one_side_only_differs_unless_it_is_empty() -> None:
    empty = np.zeros((3, 40, 60), bool)
    report = compare(_annotation(a=_blob(3)), _annotation(), same_origin=True)
    assert report.dice == {"a": 0.0}
    assert compare(_annotation(a=empty), _annotation(), same_origin=True).is_identical
