"""A stand-in for the shipped checkpoint: a nano with all class names and random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from medprism.data.vocabulary import training_concepts
from medprism.models.checkpoint import CheckpointInfo, save_checkpoint
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism


def save_untrained(path: Path, seed: int = 4) -> None:
    """Write the stand-in."""
    concepts = training_concepts()
    torch.manual_seed(seed)
    config = kprism_nano(len(concepts))
    info = CheckpointInfo(
        name="kprism-nano",
        architecture="kprism",
        config=config.to_json(),
        concepts=concepts,
        preprocessing={"long_side": 64},
    )
    save_checkpoint(path, info, KPrism(config).state_dict())
