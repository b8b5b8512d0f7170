"""Random episodes and small models for every test of Iris; nothing is square or centred."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from medprism.models.iris.config import IrisConfig, iris_nano
from medprism.models.iris.model import Iris

SIZES: Final[dict[int, tuple[int, ...]]] = {2: (32, 48), 3: (16, 32, 48)}


@dataclass(frozen=True, eq=False)
class Episode:
    """Query images, reference images and the masks of the references' classes."""

    image: Tensor
    reference: Tensor
    masks: Tensor


def draw_episode(
    ndim: int,
    *,
    rows: int = 2,
    classes: int = 3,
    size: tuple[int, ...] | None = None,
    seed: int = 5,
    dtype: torch.dtype = torch.float32,
) -> Episode:
    """Draw images of noise, and boxes of different size and place as classes."""
    rng = torch.Generator().manual_seed(seed)
    size = size or SIZES[ndim]
    channels = 1 if ndim == 3 else 3
    masks = torch.zeros(rows, classes, *size)
    for row in range(rows):
        for index in range(classes):
            start = [int(torch.randint(0, side - 6, (), generator=rng)) for side in size]
            cut = tuple(slice(at, at + 4 + index) for at in start)
            masks[(row, index, *cut)] = 1
    return Episode(
        torch.randn(rows, channels, *size, generator=rng).to(dtype),
        torch.randn(rows, channels, *size, generator=rng).to(dtype),
        masks.to(dtype),
    )


def small(ndim: int, concepts: int = 4, **changes: object) -> IrisConfig:
    """Return the nano settings with changed parts: `body`, `task`, `decoder` are mappings."""
    config = iris_nano(concepts, ndim)
    parts: dict[str, Any] = {
        name: replace(getattr(config, name), **values) if isinstance(values, dict) else values
        for name, values in changes.items()
    }
    return replace(config, **parts)


def make_iris(config: IrisConfig, *, seed: int = 1, dtype: torch.dtype = torch.float32) -> Iris:
    """Build a model with fixed random weights."""
    torch.manual_seed(seed)
    return Iris(config).to(dtype).eval()
