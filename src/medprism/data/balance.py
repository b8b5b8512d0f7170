"""Which concept and dataset the next image is drawn from: the balance of the training diet."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float64

from medprism.data.pools import Pool, Rows


class Balance:
    """Fixed odds over pools; every row of every pool can be drawn.

    Two ways of drawing are mixed. Concept first: a concept by its images to the power `exponent`,
    then one of its datasets by the square root of theirs. Dataset first (a share of
    `dataset_first`): a dataset, then one of its concepts, both by images to the power `exponent`.
    Within a pool all rows are alike.
    """

    def __init__(
        self, choices: Sequence[tuple[Pool, Rows]], exponent: float, dataset_first: float
    ) -> None:
        filled = [(pool, rows) for pool, rows in choices if rows.size]
        self._choices = filled
        images = [rows for _, rows in filled]
        by_concept = _nested([pool.concept for pool, _ in filled], images, exponent, 0.5)
        by_dataset = _nested([pool.dataset for pool, _ in filled], images, exponent, exponent)
        self.odds = (1 - dataset_first) * by_concept + dataset_first * by_dataset
        self._cumulated = np.cumsum(self.odds)

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self._choices)

    def draw(self, rng: np.random.Generator) -> tuple[Pool, int]:
        """Draw a pool and one of its rows."""
        chance = rng.random() * self._cumulated[-1]
        index = int(np.searchsorted(self._cumulated, chance, side="right"))
        pool, rows = self._choices[index]
        return pool, int(rows[rng.integers(rows.size)])

    def dataset_shares(self) -> dict[str, float]:
        """Return the share of drawn images that each dataset gets."""
        shares: dict[str, float] = {}
        for (pool, _), odds in zip(self._choices, self.odds, strict=True):
            shares[pool.dataset] = shares.get(pool.dataset, 0.0) + float(odds)
        return shares


def _nested(
    groups: Sequence[Hashable], images: Sequence[Rows], outer: float, inner: float
) -> Float64[np.ndarray, " choices"]:
    """Return odds: a group by its different images ** outer, a member by its own ** inner."""
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    odds = np.zeros(len(groups))
    for inside in members.values():
        weights = np.array([float(images[index].size) for index in inside]) ** inner
        total = np.unique(np.concatenate([images[index] for index in inside])).size
        odds[inside] = float(total) ** outer * weights / weights.sum()
    return odds / odds.sum() if odds.size else odds
