from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import line, polygon

from medprism.apps.workbench.strokes import draw_line, fill_outline

SHAPE = (40, 57)
place = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))


def _real(point: tuple[int, int]) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _distance(start: tuple[int, int], end: tuple[int, int]) -> np.ndarray:
    """Return the distance of every pixel to a piece of a line, the slow way."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    way = np.array(end) - np.array(start)
    length = max(1, int((way**2).sum()))
    along = np.clip(((rows - start[0]) * way[0] + (cols - start[1]) * way[1]) / length, 0, 1)
    return np.hypot(rows - start[0] - along * way[0], cols - start[1] - along * way[1])


@settings(max_examples=40, deadline=None)
@given(start=place, end=place, radius=st.integers(1, 8))
def test_a_brush_covers_what_is_near_its_path(
    start: tuple[int, int], end: tuple[int, int], radius: int
) -> None:
    drawn = draw_line([_real(start), _real(end)], float(radius), SHAPE)
    away = _distance(start, end)
    assert drawn[away <= radius - 1].all()
    assert not drawn[away > radius + 1.5].any()


@settings(max_examples=25, deadline=None)
@given(start=place, end=place)
def test_a_thin_line_is_one_pixel_wide(start: tuple[int, int], end: tuple[int, int]) -> None:
    drawn = draw_line([_real(start), _real(end)], 0.0, SHAPE)
    rows, _ = line(*start, *end)
    assert int(drawn.sum()) == len(rows)
    assert drawn[start] and drawn[end]


def test_an_outline_is_filled_as_scikit_image_does() -> None:
    points = [(5.0, 7.0), (9.0, 50.0), (33.0, 41.0), (22.0, 12.0)]
    drawn = fill_outline(points, SHAPE)
    rows, cols = polygon([r for r, _ in points], [c for _, c in points], SHAPE)
    inside = np.zeros(SHAPE, bool)
    inside[rows, cols] = True
    # OpenCV counts the outline itself as inside.
    assert drawn[inside].all()
    rim = np.zeros(SHAPE, bool)
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        near = _distance((int(start[0]), int(start[1])), (int(end[0]), int(end[1])))
        rim |= near <= 1
    assert not (drawn & ~inside & ~rim).any()


@pytest.mark.parametrize("far", [(-1e7, 3.0), (3.0, 1e9)])
def test_points_far_outside_are_cut_off(far: tuple[float, float]) -> None:
    assert not draw_line([far], 5.0, SHAPE).any()
    assert draw_line([(5.0, 5.0), far], 2.0, SHAPE)[5, 5]
