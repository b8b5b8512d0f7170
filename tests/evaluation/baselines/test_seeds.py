from __future__ import annotations

import numpy as np
from scipy import ndimage

from medprism.core.prompt import Click
from medprism.evaluation.baselines.seeds import by_sign, distance_to, shrink

CLICKS = (Click(3, 11, True), Click(14, 2, False), Click(9, 20, True))


def test_distances_equal_a_distance_transform() -> None:
    away = np.ones((17, 23), bool)
    for click in CLICKS:
        away[click.row, click.col] = False
    np.testing.assert_allclose(
        distance_to(CLICKS, (17, 23)), ndimage.distance_transform_edt(away), rtol=1e-12
    )
    assert np.isinf(distance_to([], (3, 4))).all()


def test_clicks_are_parted_by_sign() -> None:
    assert by_sign(CLICKS) == ([CLICKS[0], CLICKS[2]], [CLICKS[1]])


def test_a_small_image_is_left_as_it_is() -> None:
    image = np.arange(17 * 23, dtype=np.uint8).reshape(17, 23, 1)
    scene = shrink(image, CLICKS, 64)
    np.testing.assert_array_equal(scene.image, image)
    assert scene.clicks == CLICKS
    inside = (image[..., 0] > 99).astype(np.float32)
    np.testing.assert_array_equal(scene.lift(inside), inside >= 0.5)


def test_a_large_image_is_averaged_and_clicks_stay_on_their_spot() -> None:
    image = np.zeros((30, 60, 3), np.uint8)
    image[9:12, 33:36] = 200
    scene = shrink(image, [Click(10, 34, True), Click(29, 59, False)], 20)
    assert scene.image.shape == (10, 20, 3)
    assert np.flatnonzero(scene.image[..., 0]).tolist() == [3 * 20 + 11]
    assert scene.clicks == (Click(3, 11, True), Click(9, 19, False))
    lifted = scene.lift(np.ones((10, 20), np.float32))
    assert lifted.shape == (30, 60)
    assert lifted.all()
