from __future__ import annotations

import pytest
import torch

from medprism.models.catalog import ARCHITECTURES, PRESETS, TPSEG_PRESETS
from medprism.models.segmenter import Prompts
from medprism.training.config import TrainConfig
from medprism.training.recipes import RECIPES


def test_recipes_of_tasks_fit_their_models() -> None:
    for name, recipe in RECIPES.items():
        config = recipe(1000)
        assert (config.phases is not None) == (config.preset in TPSEG_PRESETS), name
        if config.phases is not None:
            preset = TPSEG_PRESETS[config.preset]
            multiple = preset.config(3).trunk.multiple
            assert all(stage.size % multiple == 0 for stage in config.stages)
            assert config.stages[-1].size == preset.long_side
            assert config.odds == (1.0, 0.0, 0.0)
            assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("kprism")])
def test_every_recipe_fits_its_model(name: str) -> None:
    config = RECIPES[name](1000)
    assert config.steps == 1000
    preset = PRESETS[config.preset]
    with torch.device("meta"):
        model = ARCHITECTURES[preset.architecture](preset.config(3).to_json())
        concept = torch.zeros(1, dtype=torch.int64)
        decoded = model.eval().decode(
            model.encode(torch.zeros(1, 3, 64, 64)), Prompts(concept=concept)
        )
    assert len(config.output_weights) == len(decoded.auxiliary) + 1
    assert all(stage.size % 16 == 0 and stage.requests > 0 for stage in config.stages)
    assert config.stages[-1].size == preset.long_side
    assert TrainConfig.from_json(config.to_json()) == config
