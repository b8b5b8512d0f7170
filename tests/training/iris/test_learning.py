"""iris-nano learns to segment another phantom by a reference (slow)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.training.state import read_average
from tests.training.runs import Notes

from .nano import make_learner, nano_config, nano_episodes, train_nano
from .window_dice import make_volume_validate


@pytest.mark.slow
def test_a_phantom_is_segmented_by_the_reference_of_another(tmp_path: Path) -> None:
    config = nano_config(220, peak_rate=0.02)
    train_nano(config, tmp_path, Notes(), episodes=nano_episodes(24))
    fixed = nano_episodes(24, "test").fixed(3, 6)
    weights = read_average(tmp_path / "state.safetensors")
    score = make_volume_validate(lambda: make_learner(config), fixed)(weights)["score"]
    assert score > 0.8
    # The reference decides: bright or dark.
    learner = make_learner(config)
    learner.model.load_state_dict(weights)
    learner.model.eval()
    swapped = []
    for episode in nano_episodes(24, "test").fixed(3, 6):
        if len(episode.concept) == 2:
            wrong = replace(episode, reference_masks=episode.reference_masks[::-1].copy())
            with torch.inference_mode():
                dice = learner.study(wrong).dice
            swapped += [] if dice is None else [dice]
    assert swapped
    assert max(swapped) < 0.5
