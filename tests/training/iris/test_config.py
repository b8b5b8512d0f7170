from __future__ import annotations

import json

import pytest

from medprism.core.errors import ConfigError
from medprism.training.iris.config import IrisTrainConfig, iris_rate, iris_recipe


def test_settings_survive_json() -> None:
    config = iris_recipe("iris-compact", 40)
    again = IrisTrainConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    with pytest.raises(ConfigError, match="incomplete or unknown"):
        IrisTrainConfig.from_json({**config.to_json(), "colour": 1})
    with pytest.raises(ConfigError, match="incomplete or unknown"):
        IrisTrainConfig.from_json({"steps": 3})


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    config = IrisTrainConfig(preset="iris-nano", steps=400)
    rates = [iris_rate(step, config) for step in range(400)]
    top = rates.index(max(rates))
    assert top == 9
    assert rates == sorted(rates[:top]) + sorted(rates[top:], reverse=True)
    assert 0.95 * config.peak_rate < rates[top] < config.peak_rate
    assert rates[-1] < 0.01 * config.peak_rate


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="no preset"):
        iris_recipe("iris-huge", 4)
    with pytest.raises(ConfigError, match="no preset"):
        iris_recipe("iris-compact-2d", 4)
    with pytest.raises(ConfigError, match="at least one step"):
        iris_recipe("iris-nano", 0)
