"""How sure a probability map is of a mask, where nobody knows the truth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32

from medprism.metrics.presence import presence_score


def certainty(probability: Float32[np.ndarray, "*grid"], mask: Bool[np.ndarray, "*grid"]) -> float:
    """Return in 0..1 how well a mask agrees with the probability it was cut from.

    It is their soft Dice, 2 sum(p m) / (sum(p) + sum(m)): 1 where every pixel is 0 or 1, lower the
    more pixels lie between. An empty mask is as certain as the presence score is low: 1 at 0, and
    0 from 0.5 on.

    >>> certainty(np.array([1.0, 0.0], np.float32), np.array([True, False]))
    1.0
    >>> certainty(np.array([0.5, 0.0], np.float32), np.array([True, False]))
    0.6666666666666666
    """
    if not mask.any():
        return 1.0 - min(1.0, 2.0 * presence_score(probability))
    inside = float(probability[mask].sum(dtype=np.float64))
    total = float(probability.sum(dtype=np.float64)) + int(mask.sum())
    return 2.0 * inside / total
