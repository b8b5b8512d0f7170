from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.core.prompt import Box, Click, Interactions, Lasso, Scribble
from medprism.inference.zoom import (
    Crop,
    Region,
    ZoomSettings,
    choose_crop,
    into_crop,
    paste,
    positive_region,
    surround,
)

SETTINGS = ZoomSettings()


@st.composite
def _slices(draw: st.DrawFn) -> tuple[tuple[int, int], Region]:
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    return (height, width), (top, left, bottom, right)


@given(_slices())
def test_a_crop_encloses_the_region_and_lies_in_the_slice(
    case: tuple[tuple[int, int], Region],
) -> None:
    shape, (top, left, bottom, right) = case
    crop = surround((top, left, bottom, right), shape, SETTINGS)
    assert 0 <= crop.top <= top < bottom <= crop.bottom <= shape[0]
    assert 0 <= crop.left <= left < right <= crop.right <= shape[1]
    step = -(-max(shape) // SETTINGS.steps)
    for edge, length in ((crop.top, 0), (crop.bottom, shape[0]), (crop.left, 0)):
        assert edge % step == 0 or edge == length


@given(_slices())
def test_the_margin_is_kept_unless_the_slice_ends(case: tuple[tuple[int, int], Region]) -> None:
    shape, region = case
    crop = surround(region, shape, SETTINGS)
    long_side = max(region[2] - region[0], region[3] - region[1])
    wanted = long_side + 2 * max(1, int(np.ceil(SETTINGS.margin * long_side)))
    assert crop.shape[0] >= min(wanted, shape[0])
    assert crop.shape[1] >= min(wanted, shape[1])


@given(_slices())
def test_zooming_always_makes_the_slice_smaller(case: tuple[tuple[int, int], Region]) -> None:
    shape, region = case
    crop = choose_crop(region, shape, SETTINGS)
    if crop is not None:
        assert crop.shape != shape
        grid = -(-max(shape) // SETTINGS.steps)
        assert max(crop.shape) <= SETTINGS.largest_share * max(shape) + 2 * grid


def test_a_region_above_the_share_is_not_zoomed_on_and_one_below_is() -> None:
    # 0.45 of 400 pixels is 180: a region of 120 with its margin of 30 on each side just fits.
    assert choose_crop((10, 20, 130, 60), (400, 200), SETTINGS) is not None
    assert choose_crop((10, 20, 131, 60), (400, 200), SETTINGS) is None


def test_nearby_regions_share_a_crop() -> None:
    first = choose_crop((101, 42, 121, 55), (512, 400), SETTINGS)
    assert first == choose_crop((100, 43, 119, 55), (512, 400), SETTINGS)
    assert first == Crop(64, 0, 128, 64)


def test_a_chiral_region_gives_a_crop_where_it_lies() -> None:
    assert surround((10, 150, 30, 190), (80, 200), SETTINGS) == Crop(0, 125, 75, 200)
    assert surround((60, 0, 70, 10), (80, 200), SETTINGS) == Crop(50, 0, 75, 25)


def test_the_region_holds_all_that_is_positive_and_the_found_mask() -> None:
    stroke = np.zeros((20, 30), bool)
    stroke[4, 7:11] = True
    items = (
        Click(12, 3, True),
        Click(19, 29, False),
        Box(6, 5, 9, 8, True),
        Box(0, 0, 20, 30, False),
        Scribble(stroke, True),
        Lasso(~stroke, False),
    )
    assert positive_region(Interactions(items), None) == (4, 3, 13, 11)
    assert positive_region(Interactions(items), (0, 10, 2, 14)) == (0, 3, 13, 14)
    assert positive_region(Interactions((Click(1, 1, False),)), None) is None


@given(_slices(), st.data())
def test_interactions_keep_their_place_in_a_crop(
    case: tuple[tuple[int, int], Region], data: st.DataObject
) -> None:
    shape, region = case
    crop = Crop(*region)
    row = data.draw(st.integers(0, shape[0] - 1))
    col = data.draw(st.integers(0, shape[1] - 1))
    stroke = np.zeros(shape, bool)
    stroke[row, col] = True
    is_inside = region[0] <= row < region[2] and region[1] <= col < region[3]
    moved = into_crop(
        Interactions((Click(row, col, True), Scribble(stroke, False), Lasso(stroke, True))), crop
    )
    assert len(moved.items) == (3 if is_inside else 0)
    for item in moved.items:
        if isinstance(item, Click):
            assert (item.row, item.col) == (row - crop.top, col - crop.left)
        elif isinstance(item, Scribble | Lasso):
            assert item.mask.shape == crop.shape
            assert item.mask[row - crop.top, col - crop.left]
            assert item.is_positive == isinstance(item, Lasso)


@given(_slices(), st.data())
def test_a_box_is_clipped_like_its_mask(
    case: tuple[tuple[int, int], Region], data: st.DataObject
) -> None:
    shape, region = case
    crop = Crop(*region)
    top, left = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    box = Box(
        top,
        left,
        data.draw(st.integers(top + 1, shape[0])),
        data.draw(st.integers(left + 1, shape[1])),
        False,
    )
    drawn = np.zeros(shape, bool)
    drawn[box.top : box.bottom, box.left : box.right] = True
    again = np.zeros(crop.shape, bool)
    for item in into_crop(Interactions((box,)), crop).items:
        assert isinstance(item, Box)
        assert not item.is_positive
        again[item.top : item.bottom, item.left : item.right] = True
    np.testing.assert_array_equal(again, crop.cut(drawn))


@given(_slices())
def test_pasting_undoes_cutting(case: tuple[tuple[int, int], Region]) -> None:
    shape, region = case
    crop = Crop(*region)
    whole = np.random.default_rng(3).random(shape, dtype=np.float32)
    original = whole.copy()
    np.testing.assert_array_equal(paste(whole, crop.cut(whole), crop), whole)
    pasted = paste(whole, np.full(crop.shape, 2, np.float32), crop)
    assert (pasted == 2).sum() == crop.shape[0] * crop.shape[1]
    assert (crop.cut(pasted) == 2).all()
    np.testing.assert_array_equal(whole, original)


@pytest.mark.parametrize(
    "wrong", [{"largest_share": 0.0}, {"largest_share": 1.5}, {"margin": -0.1}, {"steps": 1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must"):
        ZoomSettings(**wrong)  # type: ignore[arg-type]
