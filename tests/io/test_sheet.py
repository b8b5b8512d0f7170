from __future__ import annotations

import numpy as np
import pytest

from medprism.io.sheet import EMPTY, beside, captioned, centred, enlarged, stacked, text_cell


def block(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_beside_and_below_one_another_on_white() -> None:
    row = beside([block(4, 3, 10), block(2, 5, 20)], 2)
    assert row.shape == (4, 10, 3)
    assert (row[:, :3] == 10).all() and (row[:2, 5:] == 20).all()
    assert (row[:, 3:5] == 255).all() and (row[2:, 5:] == 255).all()
    sheet = stacked([row, block(3, 4, 30)], 1)
    assert sheet.shape == (8, 10, 3)
    np.testing.assert_array_equal(sheet[:4], row)
    assert (sheet[4] == 255).all() and (sheet[5:, :4] == 30).all() and (sheet[5:, 4:] == 255).all()
    np.testing.assert_array_equal(beside([row], 0), row)


@pytest.mark.parametrize("text", ["K-Prism", "a name that is far too long for a narrow picture"])
def test_captions_stand_in_bands_and_never_on_the_picture(text: str) -> None:
    shown = captioned(block(30, 120, 50), above=text, below="0.5", band=20, size=14)
    assert shown.shape == (70, 120, 3)
    assert (shown[20:50] == 50).all()
    for band in (shown[:20], shown[50:]):
        assert (band < 128).any()
    # Nothing is cut off at the sides.
    assert (shown[:20, 0] == 255).all() and (shown[:20, -1] == 255).all()
    np.testing.assert_array_equal(captioned(block(30, 120, 50)), block(30, 120, 50))


def test_a_picture_stands_in_the_middle_of_its_column() -> None:
    column = centred(block(3, 6, 9), 9)
    assert column.shape == (3, 9, 3)
    assert (column[:, 1:7] == 9).all()
    assert (column[:, 0] == 255).all() and (column[:, 7:] == 255).all()


def test_a_cell_without_a_picture_says_why_within_its_borders() -> None:
    cell = text_cell("no weights of it in runs/\nsecond line", height=60, width=90, size=12)
    assert cell.shape == (60, 90, 3)
    assert (cell[:, 0] == EMPTY).all() and (cell[:, -1] == EMPTY).all()
    assert (cell < 100).any()


def test_enlarging_keeps_what_is_where() -> None:
    picture = block(4, 6, 0)
    picture[:, 3:] = 255
    large = enlarged(picture, 3)
    assert large.shape == (12, 18, 3)
    assert (large[:, :5] < 40).all() and (large[:, 13:] > 215).all()
