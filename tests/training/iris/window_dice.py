"""Dice of fixed windows: cheap, for tests of learning; a run validates on whole volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from medprism.data.volume_episode import VolumeEpisode
from medprism.training.iris.lesson import LearnsVolumes
from medprism.training.loop import Validate

MakeLearner = Callable[[], LearnsVolumes]


def make_volume_validate(make: MakeLearner, episodes: Sequence[VolumeEpisode]) -> Validate:
    """Return the function that a run validates with.

    It gives the mean Dice of each set and, as score, the mean over sets. Windows are those of
    training, unaugmented, which is cheap; whole volumes are measured by the benchmark.
    """
    learner = make()
    learner.model.eval()

    def validate(weights: dict[str, Tensor]) -> dict[str, float]:
        learner.model.load_state_dict(weights)
        found: dict[str, list[float]] = {}
        with torch.inference_mode():
            for episode in episodes:
                dice = learner.study(episode).dice
                if dice is not None:
                    found.setdefault(episode.dataset, []).append(dice)
        means = {name: sum(values) / len(values) for name, values in sorted(found.items())}
        score = sum(means.values()) / len(means) if means else 0.0
        return {"score": score, **{f"dice/{name}": mean for name, mean in means.items()}}

    return validate
