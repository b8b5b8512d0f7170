from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import GeometryError, PromptError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.core.prompt import Click
from medprism.io.overlay import CONTOUR, outline, overlay
from medprism.io.palette import colour

GREY = np.full((40, 60), 100, np.uint8)
IMAGE = Image.from_array(GREY)
NOTHING = Labels({})


def block(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(GREY.shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_without_labels_it_is_the_image() -> None:
    ramp = np.arange(2400, dtype=np.uint32).reshape(40, 60)
    colours = np.stack([ramp % 256, ramp % 7, ramp % 200], axis=2).astype(np.uint8)
    np.testing.assert_array_equal(overlay(Image.from_array(colours), NOTHING, 0), colours)
    shown = overlay(IMAGE, NOTHING, 0)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, np.repeat(GREY[..., None], 3, 2))


def test_a_volume_is_windowed_by_its_rule_over_the_whole_volume() -> None:
    volume = np.zeros((3, 40, 60), np.int16)
    volume[0], volume[1], volume[2] = -991, 500, -2000
    image = Image.from_array(volume, modality="CT")
    assert [int(overlay(image, NOTHING, n).max()) for n in range(3)] == [0, 255, 0]


def test_labels_are_filled_and_outlined_in_their_colours() -> None:
    mask = block(5, 8, 20, 30)
    shown = overlay(IMAGE, Labels({"a": mask}), 0)
    assert tuple(shown[5, 8]) == tuple(shown[19, 29]) == tuple(shown[5, 20]) == colour(1)
    blended = np.rint(0.65 * 100 + 0.35 * np.array(colour(1)))
    np.testing.assert_allclose(shown[10, 20], blended, atol=1)
    assert (shown[~mask] == 100).all()


def test_later_labels_lie_above_earlier_ones() -> None:
    both = Labels({"organ": block(5, 8, 30, 40), "tumour": block(10, 12, 20, 20)})
    shown = overlay(IMAGE, both, 0)
    assert tuple(shown[10, 12]) == colour(2)
    assert tuple(shown[5, 8]) == colour(1)


def test_the_slice_asked_for_is_drawn() -> None:
    volume = Image.from_array(np.repeat(GREY[None], 3, 0))
    plane = np.zeros((3, 40, 60), bool)
    plane[2] = block(5, 8, 20, 30)
    labels = Labels({"a": plane})
    assert (overlay(volume, labels, 0) == 100).all()
    assert tuple(overlay(volume, labels, 2)[5, 8]) == colour(1)


def test_clicks_are_a_green_plus_and_a_red_minus() -> None:
    clicks = [Click(10, 15, is_positive=True), Click(30, 45, is_positive=False)]
    shown = overlay(IMAGE, NOTHING, 0, clicks).astype(int)
    for row, col in [(10, 15), (8, 15), (12, 15), (10, 13), (10, 17)]:
        assert shown[row, col, 1] > shown[row, col, 0] + 100
    for row, col in [(30, 45), (30, 43), (30, 47)]:
        assert shown[row, col, 0] > shown[row, col, 1] + 100
    assert tuple(shown[28, 45]) == (100, 100, 100)
    assert tuple(shown[29, 45]) == (255, 255, 255)


def test_a_click_at_the_corner_is_cut_at_the_border() -> None:
    shown = overlay(IMAGE, NOTHING, 0, [Click(0, 0, is_positive=True)])
    assert tuple(shown[0, 0]) != (100, 100, 100)
    assert (shown[20:, 20:] == 100).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GeometryError, match="no slice 1; the image has slices 0 to 0"):
        overlay(IMAGE, NOTHING, 1)
    with pytest.raises(GeometryError, match="no slice -1"):
        overlay(IMAGE, NOTHING, -1)
    with pytest.raises(PromptError, match="outside the slice"):
        overlay(IMAGE, NOTHING, 0, [Click(40, 0, is_positive=True)])
    with pytest.raises(GeometryError, match="but its image has shape"):
        overlay(IMAGE, Labels({"a": np.zeros((60, 40), bool)}), 0)


def test_a_constant_image_is_black() -> None:
    assert not overlay(Image.from_array(np.full((4, 6), 7.5)), NOTHING, 0).any()


BLUE, ORANGE = (86, 180, 233), (230, 159, 0)


def test_contours_lie_inside_their_masks_and_leave_the_rest_alone() -> None:
    mask = block(10, 16, 30, 48)
    shown = outline(IMAGE, [(mask, BLUE)], long_side=60)
    np.testing.assert_array_equal(shown[10:12, 16:48], np.broadcast_to(BLUE, (2, 32, 3)))
    np.testing.assert_array_equal(shown[10:30, 46:48], np.broadcast_to(BLUE, (20, 2, 3)))
    assert (shown[12:28, 18:46] == 100).all()
    assert (shown[~mask] == 100).all()


def test_contours_are_one_width_on_pictures_of_any_size() -> None:
    mask = block(10, 16, 30, 48)
    for factor in (1, 2, 3):
        shown = outline(IMAGE, [(mask, BLUE)], long_side=60 * factor)
        assert shown.shape == (40 * factor, 60 * factor, 3)
        inside = shown[20 * factor, 16 * factor : 48 * factor]
        assert (inside == BLUE).all(1).sum() == 2 * CONTOUR
    small = outline(IMAGE, [(mask, BLUE)], long_side=30)
    assert small.shape == (20, 30, 3)
    assert tuple(small[5, 8]) == BLUE


def test_later_contours_lie_above_and_clicks_above_all() -> None:
    mask = block(10, 16, 30, 48)
    click = Click(10, 20, is_positive=True)
    shown = outline(IMAGE, [(mask, ORANGE), (mask, BLUE)], [click], long_side=120)
    assert tuple(shown[20, 80]) == BLUE
    assert tuple(shown[21, 41]) == tuple(overlay(IMAGE, NOTHING, 0, [click])[10, 20])
    with pytest.raises(GeometryError, match="but its image has shape"):
        outline(IMAGE, [(np.zeros((60, 40), bool), BLUE)], long_side=60)
    with pytest.raises(PromptError, match="outside the slice"):
        outline(IMAGE, [], [Click(0, 60, is_positive=True)], long_side=60)
