import numpy as np
import pytest
from scipy import ndimage

from medprism.core.prompt import bounding_box
from medprism.core.randomness import counter_rng
from medprism.data.zoom import draw_zoom_box, whole_box
from tests.data.phantoms import comma

SHAPE = (90, 140)
TWO = comma(SHAPE, 10, 8, 31) | comma(SHAPE, 60, 100, 14)


def test_the_whole_box_is_the_bounding_box() -> None:
    assert whole_box(TWO) == bounding_box([TWO])


@pytest.mark.parametrize("seed", range(40))
def test_every_drawn_box_lies_on_the_slice_and_holds_target(seed: int) -> None:
    top, left, bottom, right = draw_zoom_box(counter_rng(seed, "zoom"), TWO)
    assert 0 <= top < bottom <= SHAPE[0]
    assert 0 <= left < right <= SHAPE[1]
    assert TWO[top:bottom, left:right].any()


def test_whole_pieces_and_patches_are_all_drawn() -> None:
    labels, count = ndimage.label(TWO, np.ones((3, 3)))
    assert count == 2
    pieces = {whole_box(labels == number) for number in (1, 2)}
    drawn = [draw_zoom_box(counter_rng(seed, "kinds"), TWO) for seed in range(200)]
    num_whole = sum(box == whole_box(TWO) for box in drawn)
    assert 75 < num_whole < 125
    assert pieces <= set(drawn)
    others = [box for box in drawn if box != whole_box(TWO) and box not in pieces]
    assert 30 < len(others) < 70
    assert all(max(b - t, r - le) <= 0.35 * 140 + 2 for t, le, b, r in others)


def test_a_target_of_one_pixel_can_be_zoomed_to() -> None:
    dot = np.zeros((5, 9), bool)
    dot[4, 8] = True
    for seed in range(12):
        top, left, bottom, right = draw_zoom_box(counter_rng(seed, "dot"), dot)
        assert dot[top:bottom, left:right].any()
