from __future__ import annotations

import numpy as np

from medprism.io.lps import swap_index_order, swap_world

AFFINE = np.arange(16, dtype=np.float64).reshape(4, 4) + 1


def test_the_swap_of_the_world_turns_two_axes_and_is_its_own_inverse() -> None:
    swapped = swap_world(AFFINE)
    np.testing.assert_array_equal(swapped[:2], -AFFINE[:2])
    np.testing.assert_array_equal(swapped[2:], AFFINE[2:])
    np.testing.assert_array_equal(swap_world(swapped), AFFINE)


def test_the_swap_of_the_index_keeps_the_origin_and_is_its_own_inverse() -> None:
    swapped = swap_index_order(AFFINE)
    np.testing.assert_array_equal(swapped[:, 3], AFFINE[:, 3])
    np.testing.assert_array_equal(swapped[:, 0], AFFINE[:, 2])
    np.testing.assert_array_equal(swap_index_order(swapped), AFFINE)
