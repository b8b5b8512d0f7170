"""A nano Iris that has learned to follow its reference: bright boxes or dark ones, as shown."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from medprism.core.randomness import counter_rng
from medprism.models.iris.model import Iris
from medprism.models.iris.tuning import class_losses

from .episodes import make_iris, small

STEPS, ROWS, SIZE = 70, 4, (32, 48)


def draw_boxes(rng: np.random.Generator, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Return pictures with a bright and a dark box, and the masks of both in this order."""
    image = rng.normal(0, 0.3, (rows, 3, *SIZE)).astype(np.float32)
    masks = np.zeros((rows, 2, *SIZE), np.float32)
    for row in range(rows):
        for index, left in enumerate(rng.permutation([0, 24])):
            top, across = int(rng.integers(2, 18)), int(rng.integers(2, 12)) + int(left)
            box = (slice(top, top + 10), slice(across, across + 8))
            masks[(row, index, *box)] = 1
            image[(row, slice(None), *box)] += 2 - 4 * index
    return torch.from_numpy(image), torch.from_numpy(masks)


@cache
def teach() -> tuple[Iris, tuple[float, ...]]:
    """Train by episodes whose references show the two boxes in either order; once a process."""
    model = make_iris(small(2)).train()
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    losses = []
    for step in range(STEPS):
        rng = counter_rng(1, step, "boxes")
        image, masks = draw_boxes(rng)
        reference, shown = draw_boxes(rng)
        order = torch.from_numpy(rng.permutation(2))
        logits, _ = model(image, reference, shown[:, order])
        loss = class_losses(logits, masks[:, order]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), tuple(losses)


def dice(found: Tensor, masks: Tensor) -> float:
    """Return the overlap of two stacks of masks as a whole."""
    both = (found.bool() & masks.bool()).sum()
    return float(2 * both / (found.bool().sum() + masks.bool().sum()).clamp(min=1))
