from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.path import Path as Outline
from scipy import ndimage

from medprism.io.contour import Mask2d, fill, trace

masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 11)))


def ring() -> Mask2d:
    """Return a chiral plate with two holes, one of them touching the other's corner."""
    mask = np.zeros((14, 19), bool)
    mask[2:12, 3:17] = True
    mask[10:12, 3:8] = False
    mask[4:7, 5:8] = False
    mask[7:9, 8:10] = False
    mask[4, 12:15] = False
    return mask


def area(points: np.ndarray) -> float:
    rows, cols = points.T
    return abs(float((cols * np.roll(rows, -1) - np.roll(cols, -1) * rows).sum())) / 2


@settings(max_examples=150, deadline=None)
@given(masks)
def test_outlines_give_their_mask_back_pixel_by_pixel(mask: Mask2d) -> None:
    np.testing.assert_array_equal(fill(trace(mask), *mask.shape), mask)


@settings(max_examples=80, deadline=None)
@given(masks)
def test_one_polygon_a_piece_with_its_exact_area(mask: Mask2d) -> None:
    polygons = trace(mask)
    pieces, count = ndimage.label(mask)
    assert len(polygons) == count
    for points in polygons:
        piece = fill([points], *mask.shape)
        assert len(np.unique(pieces[piece])) == 1
        assert area(points) == piece.sum()


@settings(max_examples=60, deadline=None)
@given(masks)
def test_other_readers_agree_whatever_their_rule(mask: Mask2d) -> None:
    """Matplotlib fills by winding number and pieces are united; OpenCV fills by parity."""
    height, width = mask.shape
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    united = np.zeros(mask.shape, bool)
    for points in trace(mask):
        united |= Outline(points[:, ::-1]).contains_points(centres).reshape(mask.shape)
    np.testing.assert_array_equal(united, mask)
    # Sixteen pixels a pixel, looked up at the centres, which no edge of OpenCV's reaches.
    canvas = np.zeros((16 * height, 16 * width), np.uint8)
    corners = [np.rint(16 * (points[:, ::-1] + 0.5)).astype(np.int32) for points in trace(mask)]
    cv2.fillPoly(canvas, corners, 1)
    np.testing.assert_array_equal(canvas[8::16, 8::16] == 1, mask)


def test_a_plate_with_holes_is_one_polygon() -> None:
    (points,) = trace(ring())
    assert area(points) == ring().sum()
    assert np.unique(points % 1).tolist() == [0.5]
    steps = np.diff(np.vstack([points, points[:1]]), axis=0)
    assert (np.count_nonzero(steps, axis=1) == 1).all()


def test_a_thousand_holes_take_no_long_time() -> None:
    mask = np.random.default_rng(4).random((160, 210)) < 0.8
    np.testing.assert_array_equal(fill(trace(mask), *mask.shape), mask)


def test_nothing_has_no_outline() -> None:
    assert trace(np.zeros((3, 4), bool)) == []
    assert not fill([], 3, 4).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 9))
def test_any_polygon_is_filled_as_matplotlib_does(seed: int, corners: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(2, 14, corners)
    points = np.stack([11.3 + radii * np.sin(angles), 12.7 + radii * np.cos(angles)], axis=1)
    found = fill([points], 20, 27)
    centres = np.stack(np.meshgrid(np.arange(27), np.arange(20)), -1).reshape(-1, 2)
    expected = Outline(points[:, ::-1]).contains_points(centres).reshape(20, 27)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shift", [-30.0, 30.0])
def test_what_lies_outside_is_cut_off(shift: float) -> None:
    square = np.array([[-4.0, -4.0], [-4.0, 3.2], [3.2, 3.2], [3.2, -4.0]])
    assert fill([square], 6, 7).sum() == 16
    assert not fill([square + shift], 6, 7).any()
