"""Images, tasks and masks for every test of TP-Seg; nothing is square or centred."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from medprism.models.tpseg.config import TPSegConfig, tpseg_nano
from medprism.models.tpseg.model import TPSeg

TASKS: Final = 3
SIZE: Final = (64, 96)

VARIANTS: Final[dict[str, dict[str, object]]] = {
    "dual adapters": {},
    "shared adapters": {"adapter": "shared"},
    "task adapters": {"adapter": "task"},
    "learned prototypes": {"prototype_mode": "learned"},
    "frozen prototypes": {"prototype_mode": "frozen"},
    "one expert": {"decoder": {"experts": 1}},
}


@dataclass(frozen=True, eq=False)
class Scene:
    """Images with the task and the mask of each."""

    image: Tensor
    task: Tensor
    target: Tensor


def draw_scene(
    tasks: tuple[int, ...] = (0, 2), *, seed: int = 5, dtype: torch.dtype = torch.float32
) -> Scene:
    """Draw images of noise, and a box in each, of another size and place."""
    rng = torch.Generator().manual_seed(seed)
    target = torch.zeros(len(tasks), *SIZE)
    for row in range(len(tasks)):
        target[row, 3 + 5 * row : 40 + 5 * row, 10 + 9 * row : 60 + 2 * row] = 1
    image = torch.randn(len(tasks), 3, *SIZE, generator=rng)
    return Scene(image.to(dtype), torch.tensor(tasks), target.to(dtype))


def small(tasks: int = TASKS, **changes: object) -> TPSegConfig:
    """Return the nano settings with changes; those of a part are a mapping."""
    config = tpseg_nano(tasks)
    parts: dict[str, Any] = {
        name: replace(getattr(config, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return replace(config, **parts)


def make_fresh(config: TPSegConfig, *, seed: int = 1, dtype: torch.dtype = torch.float32) -> TPSeg:
    """Build a model as training begins with it."""
    torch.manual_seed(seed)
    return TPSeg(config).to(dtype).eval()


def make_used(config: TPSegConfig, *, seed: int = 1, dtype: torch.dtype = torch.float32) -> TPSeg:
    """Build a model in which every adapter says something and every task has prototypes."""
    model = make_fresh(config, seed=seed, dtype=dtype)
    with torch.no_grad():
        for name, parameter in model.adapters.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(0, 0.3)
        for task in range(config.num_tasks):
            scene = draw_scene((task, task), seed=task, dtype=dtype)
            model.remember(model(scene.image, scene.task), scene.task, scene.target)
    return model


def worst(one: Tensor, other: Tensor) -> float:
    """Return the largest difference."""
    return float((one - other).detach().abs().max())
