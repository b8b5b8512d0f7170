"""Rivals that cross pixels learn to follow a reference on two tasks with opposite answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import Tensor

from medprism.core.randomness import counter_rng
from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.frame import RivalConfig, rival_nano
from medprism.models.zoo.slices.multiverseg import MultiverSeg
from medprism.models.zoo.slices.pixels import PixelRival
from medprism.models.zoo.slices.roster import BY_REFERENCES
from medprism.models.zoo.slices.tyche import Tyche
from medprism.models.zoo.slices.universeg import UniverSegRival
from medprism.training.batches import standardised
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.rival_step import learner_of
from medprism.training.state import read_average

from .runs import Notes
from .shown_boxes import ShownBoxes
from .two_tasks import SIZE, TASKS, draw_boxes

# Tyche's candidates could serve a task each and need no reference; a single one cannot.
BUILDS: dict[str, Callable[[RivalConfig], PixelRival]] = {
    "universeg": UniverSegRival,
    "multiverseg": MultiverSeg,
    "tyche": partial(Tyche, num_candidates=1),
}


def teach(name: str) -> PixelRival:
    """Train a nano on a coarse grid, by references alone."""
    torch.manual_seed(1)
    model, notes = BUILDS[name](replace(rival_nano(TASKS), side=32)), Notes()
    config = TrainConfig(
        preset="kprism-nano",
        steps=110,
        stages=(StageConfig(size=SIZE, share=1.0, requests=8),),
        odds=BY_REFERENCES,
        peak_rate=5e-3,
        ema=0.9,
        bfloat16=False,
    )
    with TemporaryDirectory() as folder:
        train(
            model,
            ShownBoxes(),
            config,
            Path(folder),
            schedule=Schedule(save_every=1000, log_every=20),
            validate=None,
            on_best=None,
            log=notes,
            progress=notes,
            make_learner=learner_of(name),
        )
        model.load_state_dict(read_average(Path(folder) / STATE_FILE))
    return model.eval()


def draw() -> tuple[Tensor, np.ndarray]:
    rng = counter_rng(5, "unseen")
    drawn = [draw_boxes(rng) for _ in range(8)]
    masks = np.stack([masks for _, masks in drawn])
    return standardised(np.stack([image for image, _ in drawn])), masks


def dice(found: Tensor, masks: np.ndarray) -> float:
    mask = (found > 0).numpy()
    return float(2 * (mask & masks).sum() / (mask.sum() + masks.sum()))


@pytest.mark.parametrize("name", BUILDS)
def test_what_a_reference_shows_is_found_and_not_the_other_box(name: str) -> None:
    model, (images, masks) = teach(name), draw()
    half = len(images) // 2
    features, valid = model.encode(images[:half]), torch.ones(half, 1, dtype=torch.bool)
    for box in range(TASKS):
        shown = torch.from_numpy(masks[half:, box].astype(np.float32))[:, None]
        references = model.encode_references(images[half:, None], shown, valid)
        with torch.no_grad():
            found = model.decode(features, Prompts(references=references)).logits
        assert dice(found, masks[:half, box]) > 0.8
        assert dice(found, masks[:half, 1 - box]) < 0.2
