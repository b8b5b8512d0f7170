"""A run of a nano on phantoms, small enough to be repeated within a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.optim import make_optimizer
from medprism.training.state import Position, average_of, load_state, read_document
from tests.phantoms import NAMES

from .phantom_sampler import PhantomSampler


def small_config(steps: int = 6, **changes: Any) -> TrainConfig:  # noqa: ANN401
    """Return a run in two stages that meets every kind of batch within a few steps."""
    settings: dict[str, Any] = {
        "preset": "kprism-nano",
        "steps": steps,
        "stages": (
            StageConfig(size=48, share=0.5, requests=3),
            StageConfig(size=64, share=0.5, requests=2),
        ),
        "seed": 3,
        "ema": 0.9,
        "bfloat16": False,
    }
    return TrainConfig(**{**settings, **changes})


def make_nano(seed: int = 1) -> KPrism:
    """Build a nano for the structures of the phantoms."""
    torch.manual_seed(seed)
    return KPrism(kprism_nano(len(NAMES)))


@dataclass
class Notes:
    """A log and a progress in memory; cancels after `stop_after` steps."""

    stop_after: int | None = None
    written: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    reported: list[tuple[int, int, str]] = field(default_factory=list)
    done: int = 0

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Keep the figures."""
        self.written.append((step, values))

    def report(self, done: int, total: int, message: str = "") -> None:
        """Keep the report."""
        self.reported.append((done, total, message))

    def is_cancelled(self) -> bool:
        """Return True once enough steps were taken; the loop asks once a step."""
        self.done += 1
        return self.stop_after is not None and self.done >= self.stop_after


def run(
    folder: Path,
    config: TrainConfig,
    *,
    stop_after: int | None = None,
    save_every: int = 100,
    model: KPrism | None = None,
) -> tuple[KPrism, Position, Notes]:
    """Train in `folder`, going on where it left off; return model, position and notes."""
    model = make_nano() if model is None else model
    notes = Notes(stop_after)
    position = train(
        model,
        PhantomSampler(4),
        config,
        folder,
        schedule=Schedule(save_every=save_every, log_every=2),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
    )
    return model, position, notes


def everything(folder: Path, config: TrainConfig) -> dict[str, Tensor]:
    """Return all tensors of the saved state: model, average, moments."""
    model = make_nano(seed=99)
    average, optimizer = average_of(model), make_optimizer(model, config)
    load_state(folder / STATE_FILE, config, model, average, optimizer)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    return tensors


def steps_done(folder: Path) -> int:
    """Return how many steps the saved state has seen; 0 without one."""
    path = folder / STATE_FILE
    return int(read_document(path)["step"]) if path.exists() else 0


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Say whether both hold the same names with the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
