from __future__ import annotations

import numpy as np

from medprism.inference.annotation import Annotation, LabelState, SliceResult, SliceState
from medprism.inference.packed_mask import PackedMask

SHAPE = (6, 9)


def _label(*rows: int, presence: float = 0.5, is_locked: bool = False) -> LabelState:
    mask = np.zeros(SHAPE, bool)
    mask[list(rows), 2:5] = True
    result = SliceResult(PackedMask.pack(mask), presence, None, None)
    return LabelState(slices={1: SliceState(result=result)}, is_locked=is_locked)


def _rows(mask: np.ndarray | None) -> list[int]:
    return [] if mask is None else np.flatnonzero(mask.any(1)).tolist()


def test_locked_labels_take_pixels_from_others_only() -> None:
    annotation = Annotation(
        {
            "free": _label(0, 1, 2, 3),
            "first": _label(1, is_locked=True),
            "second": _label(3, 4, is_locked=True),
        }
    )
    assert _rows(annotation.taken("free", 1)) == [1, 3, 4]
    assert _rows(annotation.taken("first", 1)) == [3, 4]
    assert annotation.taken("free", 0) is None
    assert _rows(annotation.mask_on("free", 1)) == [0, 2]
    assert _rows(annotation.mask_on("second", 1)) == [3, 4]
    assert annotation.mask_on("free", 0) is None


def test_presence_is_that_of_the_best_slice() -> None:
    state = _label(1, presence=0.25)
    assert state.with_slices({4: _label(2, presence=0.75).on(1)}).presence == 0.75
    assert state.presence == 0.25
    assert LabelState().presence == 0.0


def test_replacing_a_label_keeps_the_order_and_the_old_value() -> None:
    before = Annotation({"a": _label(1), "b": _label(2)})
    after = before.with_label("a", _label(5)).with_label("c", _label(3))
    assert tuple(after.labels) == ("a", "b", "c")
    assert _rows(before.mask_on("a", 1)) == [1]
    assert _rows(after.mask_on("a", 1)) == [5]
