from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.training.config import StageConfig, TrainConfig, plan_step

from .runs import small_config

PAPER_ODDS = (0.3, 0.3, 0.4)


def test_settings_survive_json() -> None:
    config = small_config(later_weight=0.7)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_unknown_and_missing_settings_are_refused() -> None:
    for damage in ({"warp": 9}, {"stages": [{"size": 64}]}, {"stages": None}):
        with pytest.raises(ConfigError, match="incomplete or unknown"):
            TrainConfig.from_json({**small_config().to_json(), **damage})
    with pytest.raises(ConfigError, match="incomplete"):
        TrainConfig.from_json({"preset": "kprism-nano"})


def test_a_run_needs_steps_and_stages_that_fill_it() -> None:
    with pytest.raises(ConfigError, match="at least one step"):
        small_config(0)
    with pytest.raises(ConfigError, match="at least one step"):
        small_config(stages=())
    with pytest.raises(ConfigError, match="add up to 1"):
        small_config(stages=(StageConfig(size=64, share=0.9, requests=2),))


@given(
    steps=st.integers(1, 500),
    shares=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_stages_follow_one_another_by_their_shares(steps: int, shares: list[int]) -> None:
    stages = tuple(
        StageConfig(size=16 * (i + 1), share=part / sum(shares), requests=2)
        for i, part in enumerate(shares)
    )
    config = small_config(steps, stages=stages)
    order = [config.stage(step).size for step in range(steps)]
    assert order == sorted(order)
    for stage in stages:
        assert abs(order.count(stage.size) - stage.share * steps) <= 1 + 1e-6


def test_the_kinds_come_with_the_odds_of_the_paper() -> None:
    plans = [plan_step(1, step, PAPER_ODDS) for step in range(3000)]
    counts = Counter(plan.name for plan in plans)
    assert counts.keys() == {"semantic", "in-context", "interactive"}
    for name, odds in zip(("semantic", "in-context", "interactive"), PAPER_ODDS, strict=True):
        assert abs(counts[name] / len(plans) - odds) < 0.03
    again = [plan_step(1, step, PAPER_ODDS) for step in range(3000)]
    assert again == plans
    assert [plan_step(2, step, PAPER_ODDS) for step in range(3000)] != plans


def test_a_batch_asks_with_one_kind_of_knowledge_and_most_are_refined_at_times() -> None:
    plans = [plan_step(3, step, PAPER_ODDS) for step in range(2000)]
    assert not any(plan.asks_class and plan.asks_references for plan in plans)
    # Every round that is judged learns; the first always does, so does the last.
    assert all(plan.rounds[0] and plan.rounds[-1] for plan in plans)
    for name in ("semantic", "in-context", "interactive"):
        lengths = {len(plan.rounds) for plan in plans if plan.name == name}
        assert {1, 2, 3} <= lengths <= {1, 2, 3, 5}


def test_neighbouring_steps_are_independent() -> None:
    names = [plan_step(1, step, PAPER_ODDS).name for step in range(4000)]
    repeats = sum(one == other for one, other in pairwise(names)) / (len(names) - 1)
    assert abs(repeats - sum(odds**2 for odds in PAPER_ODDS)) < 0.03


def test_certain_odds_give_one_kind() -> None:
    for kind, name in enumerate(("semantic", "in-context", "interactive")):
        odds = tuple(float(kind == i) for i in range(3))
        assert {plan_step(1, step, odds).name for step in range(20)} == {name}  # type: ignore[arg-type]
