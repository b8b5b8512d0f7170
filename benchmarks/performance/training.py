"""A training step of every kind of batch: all rounds forward and backward in bfloat16 autocast."""

from __future__ import annotations

from typing import Final

import torch

from benchmarks.performance.cost import Work
from benchmarks.performance.pieces import CLASSES, Setting
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.training.config import StepPlan
from medprism.training.step import Batch, StepRandomness, TrainingStep

PLANS: Final = {
    "semantic": StepPlan(asks_class=True, asks_references=False, rounds=(True, True)),
    "in-context": StepPlan(asks_class=False, asks_references=True, rounds=(True, True)),
    "interactive": StepPlan(asks_class=False, asks_references=False, rounds=(True, True, True)),
}


def training_step(setting: Setting, kind: str, requests: int) -> Work:
    """Return one step of a kind of batch on noise with one structure a request."""
    torch.manual_seed(1)
    config = PRESETS[setting.preset].config(CLASSES)
    model = KPrism(config).train()
    outputs = len(config.decoder.strides) + (1 if config.decoder.fine_hidden else 0)
    step = TrainingStep(model, (1.0,) * outputs, 0.8)
    side = setting.side
    target = torch.zeros(requests, side, side)
    target[:, side // 5 : side // 2, side // 3 : side - side // 5] = 1
    plan = PLANS[kind]
    batch = Batch(
        images=torch.randn(requests, 3, side, side),
        image_index=torch.arange(requests),
        concept=torch.arange(requests) % CLASSES,
        target=target,
        reference_images=torch.randn(requests, 1, 3, side, side),
        reference_masks=target[:, None].clone(),
    )

    def work() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            found = step(batch, plan, StepRandomness(1, 1))
        found.loss.backward()

    return work
