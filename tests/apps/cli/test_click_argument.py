from __future__ import annotations

import pytest

from medprism.apps.cli.click_argument import parse_box, parse_click, parse_click_mm
from medprism.core.errors import PromptError
from medprism.inference.knowledge import BoxMark, PointMark


@pytest.mark.parametrize(
    ("text", "click"),
    [
        ("120,88,+", PointMark((120, 88), True)),
        ("3, 120, 88, -", PointMark((3, 120, 88), False)),
        ("-4,2,+", PointMark((-4, 2), True)),
    ],
)
def test_clicks_are_row_col_sign_with_the_slice_in_front(text: str, click: PointMark) -> None:
    assert parse_click(text) == click


@pytest.mark.parametrize("text", ["", "+", "3,+", "3,4", "3,4,5", "a,b,+", "1,2,3,4,+", "1.5,2,+"])
def test_what_is_no_click_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(PromptError, match=r"row,col,\+") as caught:
        parse_click(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("10,20,60,80", BoxMark(((10, 60), (20, 80)), True)),
        ("10,20,60,80,-", BoxMark(((10, 60), (20, 80)), False)),
        ("7,10,20,60,80,+", BoxMark(((7, 8), (10, 60), (20, 80)), True)),
    ],
)
def test_boxes_are_corners_with_the_slice_in_front(text: str, box: BoxMark) -> None:
    assert parse_box(text) == box


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "1,2,3,4,5,6", "+"])
def test_what_is_no_box_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(PromptError, match="top,left,bottom,right"):
        parse_box(text)


@pytest.mark.parametrize(
    ("text", "click"),
    [
        ("-31.5,12,190,+", PointMark((-31.5, 12.0, 190.0), True, is_world=True)),
        (" 0.5 , -1e1, 3, - ", PointMark((0.5, -10.0, 3.0), False, is_world=True)),
    ],
)
def test_clicks_in_mm_are_x_y_z_sign(text: str, click: PointMark) -> None:
    assert parse_click_mm(text) == click


@pytest.mark.parametrize("text", ["", "+", "1,2,+", "1,2,3", "1,2,3,4,+", "a,2,3,+", "nan,2,3,+"])
def test_what_is_no_click_in_mm_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(PromptError, match=r"x,y,z,\+ in millimetres \(RAS\+") as caught:
        parse_click_mm(text)
    assert repr(text) in str(caught.value)
