"""Which rows serve as references of a request: another patient, near the same place."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool

from medprism.data.pools import Pool

NEAR: Final = 0.1
MIN_NEAR: Final = 8


def choose_references(rng: np.random.Generator, pool: Pool, row: int, count: int) -> list[int]:
    """Draw `count` rows of the pool as references for one of its rows.

    In this order: never the same picture, another patient, the same view, near the same relative
    position (within a tenth of the volume, or the eight nearest). Each wish is dropped where
    nothing would be left; a pool of one row refers to itself. Rows repeat only when there are
    fewer candidates than references.
    """
    here = int(np.searchsorted(pool.rows, row))
    allowed = np.ones(pool.rows.size, np.bool_)
    for wish in (
        pool.rows != row,
        pool.contents != pool.contents[here],
        pool.patients != pool.patients[here],
        pool.views == pool.views[here],
    ):
        allowed = _narrow(allowed, wish)
    candidates = np.flatnonzero(_narrow(allowed, _near(pool, here, allowed)))
    order = rng.permutation(candidates)
    return [int(pool.rows[order[k % order.size]]) for k in range(count)]


def _narrow(
    allowed: Bool[np.ndarray, " rows"], wish: Bool[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    both = allowed & wish
    return both if both.any() else allowed


def _near(pool: Pool, here: int, allowed: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    position = pool.positions[here]
    if np.isnan(position):
        return allowed
    distance = np.abs(pool.positions - position)
    distance[~allowed | np.isnan(distance)] = np.inf
    nearest = np.sort(distance)[:MIN_NEAR][-1]
    return np.asarray(np.isfinite(distance) & (distance <= max(NEAR, nearest)))
