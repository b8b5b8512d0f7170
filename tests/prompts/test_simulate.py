from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click, Interactions
from medprism.prompts.clicks import next_click
from medprism.prompts.simulate import simulate_clicks

from .phantoms import blobs, hook


def _dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(f1_score(truth.ravel(), mask.ravel(), zero_division=1.0))


class _DiskPredictor:
    """Paint a disk of the truth's sign around every click, in the order of the clicks."""

    def __init__(self, shape: tuple[int, ...], radius: float) -> None:
        self.shape, self.radius = shape, radius
        self.asked: list[int] = []

    def __call__(self, said: Interactions) -> np.ndarray:
        self.asked.append(len(said.clicks))
        mask = np.zeros(self.shape, bool)
        rows, cols = np.ogrid[: self.shape[0], : self.shape[1]]
        for click in said.clicks:
            mask[np.hypot(rows - click.row, cols - click.col) <= self.radius] = click.is_positive
        return mask


def test_rounds_equal_a_loop_written_out() -> None:
    truth = blobs(5, sigma=5.0)
    predict = _DiskPredictor(truth.shape, 7.0)
    rounds = simulate_clicks(predict, truth, _dice, limit=8)
    mask, said, scores = np.zeros_like(truth), Interactions(), []
    for _ in range(8):
        click = next_click(mask, truth)
        assert click is not None
        said = said.with_added(click)
        mask = _DiskPredictor(truth.shape, 7.0)(said)
        scores.append(_dice(mask, truth))
    assert rounds.score_before == 0.0
    assert rounds.scores == tuple(scores)
    assert rounds.clicks == said.clicks
    assert predict.asked == list(range(1, 9))
    assert scores[-1] > scores[0] > 0


def test_it_stops_at_the_target() -> None:
    truth = hook()
    full = simulate_clicks(_DiskPredictor(truth.shape, 6.0), truth, _dice, limit=10)
    target = full.scores[3]
    first = next(i for i, score in enumerate(full.scores) if score >= target)
    short = simulate_clicks(_DiskPredictor(truth.shape, 6.0), truth, _dice, limit=10, target=target)
    assert short.scores == full.scores[: first + 1]
    assert short.clicks == full.clicks[: first + 1]


def test_it_stops_when_nothing_is_wrong() -> None:
    truth = hook()
    rounds = simulate_clicks(lambda _: truth.copy(), truth, lambda a, b: 0.0, limit=9)
    assert rounds.scores == (0.0,)
    assert len(rounds.clicks) == 1


def test_a_perfect_start_needs_no_click() -> None:
    predict = _DiskPredictor(hook().shape, 3.0)
    rounds = simulate_clicks(predict, hook(), _dice, limit=5, start=hook())
    assert (rounds.score_before, rounds.scores, rounds.clicks) == (1.0, (), ())
    assert predict.asked == []


def test_the_first_click_corrects_the_start() -> None:
    start = np.ones_like(hook())
    rounds = simulate_clicks(_DiskPredictor(start.shape, 3.0), hook(), _dice, limit=1, start=start)
    assert not rounds.clicks[0].is_positive
    assert rounds.score_before == pytest.approx(_dice(start, hook()))


def test_a_deaf_model_is_clicked_at_the_same_place_until_the_limit() -> None:
    rounds = simulate_clicks(lambda _: np.zeros_like(hook()), hook(), _dice, limit=4)
    assert len(rounds.clicks) == 4
    assert len(set(rounds.clicks)) == 1


def test_no_clicks_is_no_simulation() -> None:
    with pytest.raises(ConfigError, match="limit of 0 clicks"):
        simulate_clicks(lambda _: hook(), hook(), _dice, limit=0)


def test_clicks_are_placed_where_the_user_chooses() -> None:
    truth, places = hook(), iter([(3, 4), (9, 2)])

    def choose(mask: np.ndarray, wanted: np.ndarray) -> Click:
        assert wanted is truth
        return Click(*next(places), True)

    rounds = simulate_clicks(_DiskPredictor(truth.shape, 2.0), truth, _dice, limit=2, choose=choose)
    assert rounds.clicks == (Click(3, 4, True), Click(9, 2, True))
