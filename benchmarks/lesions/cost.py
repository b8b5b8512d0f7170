"""What every method costs: parameters, and milliseconds of an image."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from benchmarks.lesions.asked import SeparateModels
from benchmarks.lesions.methods import METHODS, Method, Size, build

# Methods whose maps do not depend on the task: one pass has the answers to all of them.
ONE_PASS: Final = frozenset({"sam2-unet", "spider", "unet"})


@dataclass(frozen=True)
class Cost:
    """Parameters in all and of one more task; milliseconds of one task, passes for all tasks."""

    parameters: int
    further_task: int
    median_ms: float
    p95_ms: float
    passes: int
    threads: int
    side: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return asdict(self)


def cost_of(name: str, size: Size, tasks: int, repeats: int) -> Cost:
    """Measure a method with fresh weights, on which nothing here depends."""
    method = METHODS[name]
    model = _whole(method, size, tasks)
    image = torch.zeros(1, 3, size.long_side, size.long_side)
    times = []
    with torch.inference_mode():
        for turn in range(repeats + 1):
            task = torch.tensor([turn % tasks])
            started = time.perf_counter()
            model(image, task)
            times.append(1000 * (time.perf_counter() - started))
    # The first one also lays memory out.
    kept = times[1:]
    return Cost(
        parameters=_count(model),
        further_task=_count(_whole(method, size, tasks + 1)) - _count(model),
        median_ms=float(np.median(kept)),
        p95_ms=float(np.quantile(kept, 0.95)),
        passes=1 if name in ONE_PASS else tasks,
        threads=torch.get_num_threads(),
        side=size.long_side,
    )


def _whole(method: Method, size: Size, tasks: int) -> nn.Module:
    if not method.is_separate:
        return build(method, size, tasks, seed=1).eval()
    return SeparateModels([build(method, size, 1, seed=1) for _ in range(tasks)]).eval()


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
