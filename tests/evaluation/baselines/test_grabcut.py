from __future__ import annotations

import cv2
import numpy as np
import pytest

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click, Interactions
from medprism.evaluation.baselines.grabcut import GrabCutSettings, first_guess, grabcut
from medprism.metrics.dice import dice
from medprism.prompts.simulate import simulate_clicks
from tests.inference.phantom import scene

PIXELS, MASKS = scene()
IMAGE = PIXELS[..., None]


def test_clicks_improve_the_mask_and_always_the_same_way() -> None:
    truth = MASKS["left kidney"] | MASKS["liver"]

    def predict(said: Interactions) -> np.ndarray:
        return grabcut(IMAGE, said.clicks)

    rounds = simulate_clicks(predict, truth, dice, limit=5)
    assert rounds.scores[-1] > 0.9
    assert rounds.scores[-1] > rounds.scores[0]
    assert simulate_clicks(predict, truth, dice, limit=5) == rounds


def test_grey_is_the_same_as_grey_in_three_channels() -> None:
    clicks = [Click(30, 30, True), Click(70, 100, False)]
    np.testing.assert_array_equal(
        grabcut(IMAGE, clicks), grabcut(np.repeat(IMAGE, 3, axis=2), clicks)
    )


def test_without_a_positive_click_nothing_is_found() -> None:
    assert not grabcut(IMAGE, []).any()
    assert not grabcut(IMAGE, [Click(30, 30, False)]).any()


def test_a_tiny_image_that_is_all_foreground_stays_so() -> None:
    mask = grabcut(
        np.full((5, 7, 1), 90, np.uint8), [Click(2, 3, True)], GrabCutSettings(reach=1.0)
    )
    assert mask.shape == (5, 7)
    assert mask.all()


def test_a_flat_image_is_no_error_and_keeps_the_click() -> None:
    mask = grabcut(np.full((50, 70, 3), 90, np.uint8), [Click(20, 30, True)])
    assert mask[20, 30]


def test_the_first_guess_follows_the_distances() -> None:
    settings = GrabCutSettings(disk=0.02, reach=0.1)
    positive, negative = Click(20, 30, True), Click(20, 36, False)
    guess = first_guess([positive, negative], (50, 100), settings)
    for row in range(50):
        for col in range(100):
            to_positive = np.hypot(row - 20, col - 30)
            to_negative = np.hypot(row - 20, col - 36)
            nearer = to_positive < to_negative
            expected = cv2.GC_PR_FGD if nearer and to_positive <= 10 else cv2.GC_PR_BGD
            if nearer and to_positive <= 2:
                expected = cv2.GC_FGD
            if not nearer and to_negative <= 2:
                expected = cv2.GC_BGD
            assert guess[row, col] == expected


@pytest.mark.parametrize("change", [{"disk": 0.2}, {"disk": -0.1}, {"rounds": 0}, {"long_side": 0}])
def test_settings_are_checked(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="GrabCut disk"):
        GrabCutSettings(**change)  # type: ignore[arg-type]
