"""Random walker from clicks [RandomWalker]: who is reached first by a walk over the image?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.sparse.linalg import splu

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click, Mask2d
from medprism.evaluation.baselines.seeds import frame_and_clicks, shrink

Grid = Float64[np.ndarray, "height width channels"]
_SMALLEST_WEIGHT = 1e-10


@dataclass(frozen=True, kw_only=True)
class WalkerSettings:
    """How the walk is set up; `disk` is a share of the image's long side.

    `beta`: how much an edge repels the walk. `disk`: radius of the seed around a click.
    `long_side` in pixels limits the grid that is solved; larger images are shrunk to it.
    """

    beta: float = 130.0
    disk: float = 0.01
    long_side: int = 256

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.disk < 0 or self.long_side < 2:
            raise ConfigError(
                f"random walker needs beta > 0, disk >= 0 and a grid of at least 2, got "
                f"{self.beta}, {self.disk} and {self.long_side}"
            )


def random_walker(
    image: UInt8[np.ndarray, "height width channels"],
    clicks: Sequence[Click],
    settings: WalkerSettings | None = None,
) -> Mask2d:
    """Segment an 8-bit image from clicks; without a positive click nothing is found.

    Background is seeded by the negative clicks and by the frame of the image, except where a
    positive click touches it.
    """
    settings = settings or WalkerSettings()
    scene = shrink(image, clicks, settings.long_side)
    foreground, background = frame_and_clicks(scene.clicks, scene.shape, settings.disk)
    probability = walk(scene.image / 255, foreground, background, settings.beta)
    return scene.lift(probability.astype(np.float32))


def walk(
    grid: Grid,
    foreground: Bool[np.ndarray, "height width"],
    background: Bool[np.ndarray, "height width"],
    beta: float,
) -> Float64[np.ndarray, "height width"]:
    """Return the probability that a walk from each pixel meets a foreground seed first.

    The combinatorial Dirichlet problem on the 4-connected grid [RandomWalker, Eq. 8], solved
    directly. Edge weights are exp(-beta |g_i - g_j|^2 / (10 s sqrt(channels))) with s the standard
    deviation of all intensities, so that beta fits images of any contrast. 1 everywhere without
    background seeds, 0 without foreground seeds.
    """
    seeded = (foreground | background).ravel()
    if not background.any() or not foreground.any():
        return np.full(foreground.shape, float(foreground.any()))
    laplacian = _laplacian(grid, beta)
    free, fixed = np.flatnonzero(~seeded), np.flatnonzero(seeded)
    probability = foreground.ravel().astype(np.float64)
    if free.size:
        rows = laplacian[free]
        # Symmetric and diagonally dominant: no pivoting, fill-reducing order of A + A^T.
        solver = splu(
            csc_array(rows[:, free]),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        probability[free] = solver.solve(-(rows[:, fixed] @ probability[fixed]))
    return probability.reshape(foreground.shape)


def _laplacian(grid: Grid, beta: float) -> csr_array:
    height, width, channels = grid.shape
    number = np.arange(height * width).reshape(height, width)
    spread = float(grid.std())
    factor = beta / (10 * spread * math.sqrt(channels)) if spread > 0 else 0.0
    right = _weights(grid[:, 1:] - grid[:, :-1], factor)
    down = _weights(grid[1:] - grid[:-1], factor)
    starts: Int64[np.ndarray, " edges"] = np.concatenate(
        [number[:, :-1].ravel(), number[:-1].ravel()]
    )
    stops = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    weights = np.concatenate([right, down])
    size = height * width
    one_way = coo_array((weights, (starts, stops)), shape=(size, size)).tocsr()
    both_ways = one_way + one_way.T
    degree = np.asarray(both_ways.sum(axis=1)).ravel()
    diagonal = coo_array((degree, (np.arange(size), np.arange(size))), shape=(size, size))
    return csr_array(diagonal.tocsr() - both_ways)


def _weights(difference: Grid, factor: float) -> Float64[np.ndarray, " edges"]:
    likeness = np.exp(-factor * np.square(difference).sum(-1))
    return np.asarray(likeness.ravel() + _SMALLEST_WEIGHT)
