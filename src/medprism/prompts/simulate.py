"""A whole simulated user: look at the mask, click where it is worst, look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.prompts.clicks import next_click

Predict = Callable[[Interactions], Mask2d]
Score = Callable[[Mask2d, Mask2d], float]
Choose = Callable[[Mask2d, Mask2d], Click | None]


@dataclass(frozen=True)
class ClickedRounds:
    """What happened: the score before any click, and after each click in turn."""

    score_before: float
    scores: tuple[float, ...]
    clicks: tuple[Click, ...]


def simulate_clicks(
    predict: Predict,
    truth: Mask2d,
    score: Score,
    *,
    limit: int,
    target: float = 1.0,
    start: Mask2d | None = None,
    choose: Choose = next_click,
) -> ClickedRounds:
    """Click up to `limit` times, each time at the largest error of the mask before.

    It ends early once the score (Dice, as a rule) reaches `target` or nothing is wrong any more.
    `predict` is given all clicks so far; the caller keeps the mask of the previous round where
    the model wants it. `start` is the mask to refine, empty by default. `choose` places each click
    (mask, truth); by default nothing is random: the same `predict` gives the same rounds, and one
    that ignores a click is clicked at the same place again, as in the published protocols.

    Raises:
        ConfigError: fewer than one click allowed.

    >>> truth = np.zeros((9, 12), bool); truth[2:5, 3:8] = True; truth[6:8, 9:12] = True
    >>> def grow(said: Interactions) -> Mask2d:
    ...     return truth if len(said.clicks) > 1 else truth & (np.arange(12) < 8)
    >>> rounds = simulate_clicks(grow, truth, lambda a, b: float((a == b).mean()), limit=5)
    >>> len(rounds.clicks), rounds.scores[-1]
    (2, 1.0)
    """
    if limit < 1:
        raise ConfigError(f"a limit of {limit} clicks leaves nothing to simulate; allow at least 1")
    mask = np.zeros_like(truth) if start is None else start
    said = Interactions()
    score_before = reached = score(mask, truth)
    scores: list[float] = []
    while len(scores) < limit and reached < target:
        click = choose(mask, truth)
        if click is None:
            break
        said = said.with_added(click)
        mask = predict(said)
        reached = score(mask, truth)
        scores.append(reached)
    return ClickedRounds(score_before, tuple(scores), said.clicks)
