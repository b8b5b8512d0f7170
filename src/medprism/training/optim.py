"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW

from medprism.training.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """Return AdamW with weight decay on matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.peak_rate, betas=(0.9, 0.99))


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of a step: linear warm-up, then a cosine from peak to final.

    >>> from medprism.training.config import StageConfig
    >>> stages = (StageConfig(size=64, share=1.0, requests=4),)
    >>> config = TrainConfig(preset="kprism-nano", steps=101, stages=stages, warmup_share=0.1)
    >>> round(learning_rate(0, config), 6), round(learning_rate(100, config), 6)
    (8e-05, 1e-05)
    """
    warmup = max(1, round(config.warmup_share * config.steps))
    if step < warmup:
        return config.peak_rate * (step + 1) / warmup
    position = (step - warmup) / max(1, config.steps - 1 - warmup)
    span = config.peak_rate - config.final_rate
    return config.final_rate + span * 0.5 * (1 + math.cos(math.pi * min(1.0, position)))
