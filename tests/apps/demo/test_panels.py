from __future__ import annotations

import numpy as np

from medprism.apps.demo.panels import BAND, GAP, SCALE, compose


def _panel(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_panels_stand_in_a_fixed_order_whatever_order_they_came_in() -> None:
    picture = compose({"clicks": _panel(20, 30, 10), "class": _panel(24, 50, 200)})
    first = 50 * SCALE
    assert picture.shape == (24 * SCALE + BAND, (50 + 30) * SCALE + GAP, 3)
    assert (picture[BAND:, :first] == 200).all()
    assert (picture[BAND : BAND + 20 * SCALE, first + GAP :] == 10).all()
    # Between them and below the shorter one the page is white.
    assert (picture[:, first : first + GAP] == 255).all()
    assert (picture[BAND + 20 * SCALE :, first:] == 255).all()


def test_every_panel_has_its_caption() -> None:
    picture = compose({"reference": _panel(20, 80, 0)})
    caption = picture[:BAND]
    assert (caption < 128).any() and (caption == 255).mean() > 0.5
