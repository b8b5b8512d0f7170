from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprism.core.errors import GeometryError, LabelError, MedprismError, PromptError
from medprism.core.image import Image
from medprism.core.prompt import Box, Click
from medprism.inference.placement import (
    check_label,
    check_names,
    check_sign,
    place_box,
    place_click,
    place_drawing,
    place_mask_like,
    place_slice,
)

PLANAR = Image.from_array(np.zeros((8, 11), np.uint8))
VOLUME = Image.from_array(np.zeros((5, 8, 11), np.uint8))
# Slices of 4 mm, rows of 2 mm towards anterior, columns of 1 mm towards right.
AFFINE = np.array(
    [[0, 0, 1.0, -10], [0, 2.0, 0, 20], [4.0, 0, 0, 100], [0, 0, 0, 1.0]], dtype=np.float64
)
PHYSICAL = Image.from_array(np.zeros((5, 8, 11), np.uint8), affine=AFFINE)


@pytest.mark.parametrize(
    "coordinates",
    [(3, 10), [3, 10], np.array([3, 10]), (np.int64(3), np.uint8(10)), (3.2, 9.5), (3.0, 10.49)],
)
def test_positions_come_in_many_forms(coordinates: object) -> None:
    assert place_click(PLANAR, coordinates, is_positive=True) == (0, Click(3, 10, True))


def test_a_volume_takes_the_slice_first() -> None:
    assert place_click(VOLUME, (4, 7, 10), is_positive=False) == (4, Click(7, 10, False))


def test_a_world_position_is_in_mm() -> None:
    found = place_click(PHYSICAL, (-10 + 7.3, 20 + 6.9, 100 + 8.1), is_positive=True, world=True)
    assert found == (2, Click(3, 7, True))


@pytest.mark.parametrize("image", [PLANAR, VOLUME])
@pytest.mark.parametrize(
    "wrong",
    [
        (1,),
        (1, 2, 3, 4),
        (),
        5,
        "1,2",
        ("1", "2"),
        None,
        (None, 1),
        (1, (2, 3)),
        (float("nan"), 1, 1),
        (True, False),
        {"row": 1},
        (1 + 2j, 1),
        (10**400, 1),
        (2**70, 1),
    ],
)
def test_what_is_no_position_is_refused_in_a_sentence(image: Image, wrong: object) -> None:
    with pytest.raises(PromptError, match=r"\(row, col\)|\(slice, row, col\)"):
        place_click(image, wrong, is_positive=True)


@pytest.mark.parametrize("wrong", [(-1, 0), (8, 0), (0, 11), (0, -0.6), (1e300, 0)])
def test_a_click_outside_names_the_place_and_the_size(wrong: tuple[float, float]) -> None:
    with pytest.raises(PromptError, match=r"lies outside the image: voxel .* of \(8, 11\)"):
        place_click(PLANAR, wrong, is_positive=True)
    with pytest.raises(PromptError, match=r"of \(5, 8, 11\)"):
        place_click(VOLUME, (4, *wrong), is_positive=True)


def test_a_click_on_a_missing_slice_is_outside() -> None:
    for wrong in (-1, 5):
        with pytest.raises(PromptError, match="outside the image"):
            place_click(VOLUME, (wrong, 1, 1), is_positive=True)


def test_mm_need_an_image_that_knows_its_spacing() -> None:
    with pytest.raises(PromptError, match="knows no spacing.*without world=True"):
        place_click(VOLUME, (0, 0, 0), is_positive=True, world=True)
    with pytest.raises(PromptError, match=r"\(x, y, z\) in mm"):
        place_click(PHYSICAL, (0, 0), is_positive=True, world=True)
    with pytest.raises(PromptError, match="outside"):
        place_click(PHYSICAL, (0, 0, 0), is_positive=True, world=True)


def test_boxes_are_half_open() -> None:
    assert place_box(PLANAR, [[1, 4], [0, 11]], is_positive=True) == (0, Box(1, 0, 4, 11, True))
    ranges = np.array([[2, 3], [1, 4], [5, 6]])
    assert place_box(VOLUME, ranges, is_positive=False) == (2, Box(1, 5, 4, 6, False))


@pytest.mark.parametrize(
    ("image", "wrong", "rule"),
    [
        (PLANAR, [[1, 4, 5], [0, 1, 2]], "is not a box"),
        (PLANAR, [[0, 1], [1, 4], [0, 5]], "is not a box"),
        (PLANAR, [1, 2, 3, 4], "is not a box"),
        (VOLUME, [[1, 4], [0, 5]], r"is not a box \[\[slice"),
        (VOLUME, [[0, 2], [1, 4], [0, 5]], "one box for each slice"),
        (VOLUME, [[5, 6], [1, 4], [0, 5]], "slice 5 lies outside the image; it has 5"),
        (VOLUME, [[-1, 0], [1, 4], [0, 5]], "slice -1 lies outside"),
    ],
)
def test_other_boxes_are_refused(image: Image, wrong: object, rule: str) -> None:
    with pytest.raises(PromptError, match=rule):
        place_box(image, wrong, is_positive=True)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float64])
def test_masks_are_inside_where_they_are_not_zero(dtype: type) -> None:
    drawn = np.zeros((5, 8, 11), dtype)
    drawn[1, 2, 3] = 1
    drawn[3, 7, 10] = 1
    planes = dict(place_drawing(VOLUME, drawn, None, "scribble"))
    assert {index: np.argwhere(plane).tolist() for index, plane in planes.items()} == {
        1: [[2, 3]],
        3: [[7, 10]],
    }
    (at, plane), *rest = place_drawing(VOLUME, drawn[3].tolist(), np.int64(2), "scribble")
    assert (at, np.argwhere(plane).tolist(), rest) == (2, [[7, 10]], [])


def test_masks_of_another_shape_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"lasso has shape \(8, 10\) but the image has \(8, 11"):
        place_mask_like(PLANAR, np.ones((8, 10)), None, "lasso")
    with pytest.raises(GeometryError, match="but slice 3 of the image has"):
        place_mask_like(VOLUME, np.ones((5, 8, 11)), 3, "lasso")


@pytest.mark.parametrize("wrong", ["mask", None, [[1, 2], [3]], [["a"]], np.full((8, 11), np.nan)])
def test_what_is_no_mask_is_refused(wrong: object) -> None:
    with pytest.raises(PromptError, match="give an array of 0 and 1"):
        place_mask_like(PLANAR, wrong, None, "scribble")


def test_an_empty_drawing_is_refused() -> None:
    with pytest.raises(PromptError, match="covers no pixel; draw at least one"):
        place_drawing(PLANAR, np.zeros((8, 11)), None, "scribble")


@pytest.mark.parametrize("wrong", [None, "1", (1,), 1 + 1j, float("inf"), 5, -1])
def test_slices_that_are_not_there_are_refused(wrong: object) -> None:
    with pytest.raises(PromptError, match="slice"):
        place_slice(VOLUME, wrong)


@pytest.mark.parametrize("wrong", ["", "  ", "two\nlines", "a\ttab", None, 3, b"liver", ["liver"]])
def test_unusable_labels_are_refused(wrong: object) -> None:
    with pytest.raises(LabelError, match="give a name such as"):
        check_label(wrong)


@pytest.mark.parametrize("wrong", [[], (), None, 4, {"liver": 1}, ["liver", 3]])
def test_names_are_one_or_several(wrong: object) -> None:
    with pytest.raises(LabelError, match="give a name"):
        check_names(wrong, "classes")


def test_the_sign_of_an_interaction_is_true_or_false() -> None:
    assert [check_sign(value) for value in (True, 0, np.bool_(True), np.int64(1))] == [
        True,
        False,
        True,
        True,
    ]
    for wrong in ("yes", None, 0.5):
        with pytest.raises(PromptError, match="give True"):
            check_sign(wrong)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=1), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(JUNK, st.sampled_from([PLANAR, VOLUME, PHYSICAL]), st.booleans())
def test_anything_at_all_is_placed_or_refused_in_a_sentence(
    given_value: object, image: Image, world: bool
) -> None:
    attempts = (
        lambda: place_click(image, given_value, is_positive=True, world=world),
        lambda: place_box(image, given_value, is_positive=True),
        lambda: place_drawing(image, given_value, None, "lasso"),
        lambda: place_slice(image, given_value),
        lambda: check_label(given_value),
        lambda: check_names(given_value, "labels"),
        lambda: check_sign(given_value),
    )
    for attempt in attempts:
        try:
            attempt()
        except MedprismError as error:
            assert str(error)
