"""Grow from seeds: every pixel joins the click that reaches it over the least change [GrowCut].

The fast form: growing regions that compete are shortest paths from all seeds at once, where a step
costs the change of intensity. Open desktop programs offer it as the tool of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click, Mask2d
from medprism.evaluation.baselines.seeds import frame_and_clicks, shrink

Grid = Float64[np.ndarray, "height width channels"]


@dataclass(frozen=True, kw_only=True)
class GrowSettings:
    """How regions grow; `disk` is a share of the image's long side.

    `step` is what a step on an even image costs, beside the change of intensity (0..1), so that
    the nearer seed wins there. `long_side` in pixels limits the grid; larger images are shrunk.
    """

    step: float = 0.01
    disk: float = 0.01
    long_side: int = 256

    def __post_init__(self) -> None:
        if self.step <= 0 or self.disk < 0 or self.long_side < 2:
            raise ConfigError(
                f"growing needs step > 0, disk >= 0 and a grid of at least 2, got {self.step}, "
                f"{self.disk} and {self.long_side}"
            )


def grow_from_seeds(
    image: UInt8[np.ndarray, "height width channels"],
    clicks: Sequence[Click],
    settings: GrowSettings | None = None,
) -> Mask2d:
    """Segment an 8-bit image from clicks; without a positive click nothing is found.

    Background grows from the negative clicks and from the frame of the image, except where a
    positive click touches it.
    """
    settings = settings or GrowSettings()
    scene = shrink(image, clicks, settings.long_side)
    seeds = frame_and_clicks(scene.clicks, scene.shape, settings.disk)
    return scene.lift(grow(scene.image / 255, *seeds, settings.step).astype(np.float32))


def grow(
    grid: Grid,
    foreground: Bool[np.ndarray, "height width"],
    background: Bool[np.ndarray, "height width"],
    step: float,
) -> Bool[np.ndarray, "height width"]:
    """Return which pixels the foreground reaches more cheaply; of equal ones background takes it.

    A step to one of four neighbours costs `step` and the largest change over channels.
    """
    if not foreground.any():
        return np.zeros_like(foreground)
    cost = _distances(grid, foreground, step)
    if not background.any():
        is_reached: Bool[np.ndarray, "height width"] = np.isfinite(cost)
        return is_reached
    is_nearer: Bool[np.ndarray, "height width"] = cost < _distances(grid, background, step)
    return is_nearer


def _distances(
    grid: Grid, seeds: Bool[np.ndarray, "height width"], step: float
) -> Float64[np.ndarray, "height width"]:
    """Return the cost of the cheapest path from any seed to every pixel."""
    height, width = seeds.shape
    number = np.arange(height * width).reshape(height, width)
    right = np.abs(grid[:, 1:] - grid[:, :-1]).max(-1) + step
    down = np.abs(grid[1:] - grid[:-1]).max(-1) + step
    starts = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    stops = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    costs = np.concatenate([right.ravel(), down.ravel()])
    graph = coo_array((costs, (starts, stops)), shape=(number.size, number.size)).tocsr()
    found = dijkstra(graph, directed=False, indices=np.flatnonzero(seeds), min_only=True)
    return np.asarray(found, np.float64).reshape(height, width)
