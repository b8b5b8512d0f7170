"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Final

from torch import nn
from torch.optim import AdamW

from medprism.training.config import TrainConfig

TRUNK: Final = "image_encoder.trunk."
CLASSES: Final = "classes."


def make_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """Return AdamW with weight decay on matrices and kernels only.

    Each group holds the `scale` its rate has beside the run's; what is frozen is in none.
    """
    scales = {CLASSES: config.class_rate}
    if config.pretrained is not None:
        scales[TRUNK] = config.pretrained.rate
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = next((s for part, s in scales.items() if name.startswith(part)), 1.0)
            groups.setdefault((parameter.ndim > 1, scale), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decays else 0.0,
                "scale": scale,
            }
            for (decays, scale), parameters in groups.items()
        ],
        lr=config.peak_rate,
        betas=(0.9, 0.99),
    )


def set_rate(optimizer: AdamW, rate: float) -> None:
    """Give every group its part of the run's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


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
