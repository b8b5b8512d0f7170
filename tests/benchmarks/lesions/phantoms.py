"""Small sets and models for the tests of the experiment on lesions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarks.lesions.runs import Order
from benchmarks.training_length import Length
from torch import Tensor, nn

from medprism.core.preprocess import CENTRE, SCALE
from medprism.models.tpseg.model import TaskAnswer
from tests.data.phantoms import write_dataset

GREY, EXTERNAL = "grey", "elsewhere"
LESION, ORGAN = "polyp", "liver"
TASKS = (LESION, ORGAN)


def write_named(folder: Path, *, patients: int, split: dict[str, int], role: str = "train") -> Path:
    """Write a set of two slices a patient; the lesion is always there, the organ on the first.

    `split` is the number of patients of each part.
    """
    names = [f"p{number}" for number in range(patients)]
    parts, start = {}, 0
    for part, count in split.items():
        own = names[start : start + count]
        parts[part] = [f"{name}_z{place:03d}" for name in own for place in (0, 4)]
        start += count
    write_dataset(folder, num_patients=patients, slices=2, role=role, split=parts)
    path = folder / "dataset.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, "classes": {"1": LESION, "2": ORGAN}}))
    return folder


def order(store: Path, method: str = "tpseg", steps: int = 2, **changes: object) -> Order:
    """Return a run of seconds."""
    settings = {
        "method": method,
        "store": store,
        "length": Length(steps=steps),
        "preset": "tpseg-nano",
        "tasks": TASKS,
    }
    return Order(**{**settings, **changes})  # type: ignore[arg-type]


class Bright(nn.Module):
    """Answers to every task with what is bright, which is the first structure of the phantoms."""

    def forward(self, image: Tensor, task: Tensor) -> TaskAnswer:
        """Return logits above zero where the picture is above 125."""
        return TaskAnswer(logits=10 * (image[:, 0] - (125 - CENTRE) / SCALE), steps=(), features=())


@dataclass
class Patience:
    """A progress that stops after some steps, or never."""

    steps: int | None = None
    asked: int = 0

    def report(self, done: int, total: int, message: str = "") -> None:
        """Show nothing."""

    def is_cancelled(self) -> bool:
        """Return True once enough steps were taken; the loop asks once a step."""
        self.asked += 1
        return self.steps is not None and self.asked >= self.steps


def by_task(count: int, task: int) -> Tensor:
    """Return a batch of the same task."""
    return torch.full((count,), task, dtype=torch.int64)
