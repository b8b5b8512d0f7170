from __future__ import annotations

import pytest
import torch

from medprism.models.catalog import ARCHITECTURES, PRESETS
from medprism.models.segmenter import Prompts
from medprism.training.config import TrainConfig
from medprism.training.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
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
