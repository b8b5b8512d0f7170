from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medprism.inference.packed_mask import PackedMask

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=19))


@given(MASKS)
def test_unpacking_gives_the_mask_back(mask: np.ndarray) -> None:
    packed = PackedMask.pack(mask)
    np.testing.assert_array_equal(packed.unpack(), mask)
    assert bool(packed) == mask.any()


@given(MASKS, st.data())
def test_packed_masks_are_equal_only_where_the_masks_are(mask: np.ndarray, data: object) -> None:
    other = mask.copy()
    other.flat[data.draw(st.integers(0, mask.size - 1))] ^= True  # type: ignore[attr-defined]
    assert PackedMask.pack(mask) == PackedMask.pack(mask.copy())
    assert PackedMask.pack(mask) != PackedMask.pack(other)


def test_a_small_structure_on_a_large_slice_takes_few_bytes() -> None:
    mask = np.zeros((512, 700), bool)
    mask[100:120, 300:330] = True
    assert len(PackedMask.pack(mask).bits) == 20 * 30 // 8


def test_unpacked_masks_are_independent() -> None:
    packed = PackedMask.pack(np.ones((3, 4), bool))
    packed.unpack()[:] = False
    assert packed.unpack().all()
