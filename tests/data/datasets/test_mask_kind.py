from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from medprism.core.errors import GeometryError, ImageReadError, LabelError
from medprism.core.image import Image
from medprism.data.datasets.mask_kind import (
    BesideMask,
    BinaryMask,
    ColourMask,
    ContourMask,
    NumberMask,
    SliceStackMask,
)
from medprism.io.reader import read_image
from tests.data.phantoms import comma
from tests.io.phantoms import write_series

SHAPE = (40, 30)
IMAGE = Image.from_array(np.zeros(SHAPE, np.uint8))
RED_GREEN = ColourMask({1: (255, 0, 0), 2: (0, 255, 0)})


def _write(path: Path, array: np.ndarray) -> Path:
    stored = array if array.ndim == 2 else np.ascontiguousarray(array[..., ::-1])
    assert cv2.imwrite(str(path), stored)
    return path


def test_numbers_are_renamed_and_unknown_ones_refused(tmp_path: Path) -> None:
    labels = comma(SHAPE, 3, 4, 12).astype(np.uint8) * 63
    path = _write(tmp_path / "a.png", labels)
    _, numbers = NumberMask({63: 2}).read(IMAGE, [path], None)
    np.testing.assert_array_equal(numbers[0], (labels > 0) * 2)
    with pytest.raises(LabelError, match="holds the label 63; this set defines 1"):
        NumberMask({1: 1}).read(IMAGE, [path], None)


@pytest.mark.parametrize("high", [1, 255])
def test_bright_is_inside_whatever_white_is(tmp_path: Path, high: int) -> None:
    mask = comma(SHAPE, 3, 4, 12)
    other = comma(SHAPE, 20, 9, 9)
    paths = [
        _write(tmp_path / f"{n}.png", m.astype(np.uint8) * high)
        for n, m in enumerate((mask, other))
    ]
    _, numbers = BinaryMask().read(IMAGE, paths, None)
    np.testing.assert_array_equal(numbers[0] == 1, mask | other)
    empty = _write(tmp_path / "empty.png", np.zeros(SHAPE, np.uint8))
    assert not BinaryMask().read(IMAGE, [empty], None)[1].any()
    small = _write(tmp_path / "small.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(GeometryError, match="same grid"):
        BinaryMask().read(IMAGE, [small], None)


def test_colours_survive_jpeg(tmp_path: Path) -> None:
    painted = np.zeros((*SHAPE, 3), np.uint8)
    first, second = comma(SHAPE, 2, 3, 16), comma(SHAPE, 22, 12, 15)
    painted[first], painted[second] = (255, 0, 0), (0, 255, 0)
    _, numbers = RED_GREEN.read(IMAGE, [_write(tmp_path / "a.jpg", painted)], None)
    for label_id, mask in ((1, first), (2, second)):
        wrong = (numbers[0] == label_id) != mask
        # JPEG halves the resolution of colour, so only the outline may move, by a pixel.
        core = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert not wrong[core | ~near].any()
    grey = _write(tmp_path / "grey.png", painted[..., 0])
    with pytest.raises(ImageReadError, match="is grey"):
        RED_GREEN.read(IMAGE, [grey], None)


def test_halves_are_cut_apart(tmp_path: Path) -> None:
    left = np.dstack([np.arange(1200).reshape(SHAPE) % 251] * 3).astype(np.uint8)
    right = np.zeros((*SHAPE, 3), np.uint8)
    right[comma(SHAPE, 5, 6, 14)] = (255, 0, 0)
    image = read_image(_write(tmp_path / "a.png", np.concatenate([left, right], axis=1)))
    cut, numbers = BesideMask({1: (255, 0, 0)}).read(image, [], None)
    np.testing.assert_array_equal(cut.voxels[0], left[..., :1] if not cut.is_rgb else left)
    np.testing.assert_array_equal(numbers[0] == 1, comma(SHAPE, 5, 6, 14))
    odd = read_image(_write(tmp_path / "odd.png", left[:, :29]))
    with pytest.raises(ImageReadError, match="two equal halves"):
        BesideMask({1: (255, 0, 0)}).read(odd, [], None)


def test_contours_are_filled_as_scikit_image_fills_them(tmp_path: Path) -> None:
    points = np.array([[3.0, 4.0], [24.0, 6.0], [20.0, 33.0], [9.0, 25.0]])
    np.savetxt(tmp_path / "a.txt", points)
    _, numbers = ContourMask().read(IMAGE, [tmp_path / "a.txt"], None)
    inside = polygon2mask(SHAPE, points[:, ::-1])
    different = (numbers[0] == 1) != inside
    # OpenCV draws the outline itself as well.
    assert different.sum() < 90
    assert not (inside & (numbers[0] == 0)).any()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(st.binary(max_size=60), st.text("0123456789. \n-einfa", max_size=60)))
def test_any_text_is_a_contour_or_one_sentence(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        _, numbers = ContourMask().read(IMAGE, [path], None)
    except ImageReadError as error:
        assert "a.txt" in str(error)
    else:
        assert numbers.shape == (1, *SHAPE)


def test_a_slice_too_few_or_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dcm").mkdir()
    (tmp_path / "png").mkdir()
    write_series(tmp_path / "dcm", np.zeros((3, *SHAPE), np.uint16) + 5)
    image = read_image(tmp_path / "dcm")
    for number in range(2):
        _write(tmp_path / "png" / f"{number}.png", np.zeros(SHAPE, np.uint8))
    kind = SliceStackMask({1: (55, 70)})
    with pytest.raises(ImageReadError, match="holds 2 masks for 3 slices"):
        kind.read(image, [tmp_path / "png"], None)
    _write(tmp_path / "png" / "2.png", np.zeros((8, 9), np.uint8))
    with pytest.raises(GeometryError, match=r"2\.png has shape \(8, 9\)"):
        kind.read(image, [tmp_path / "png"], None)
