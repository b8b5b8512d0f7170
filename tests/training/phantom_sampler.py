"""Episodes of phantoms in memory: what the training loop needs, without a store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from medprism.core.randomness import counter_rng
from medprism.data.episode import Episode
from tests.phantoms import NAMES, Phantom, draw_phantom

REQUESTS_PER_IMAGE = 2


@dataclass(frozen=True)
class PhantomSampler:
    """Draws requests for structures of the phantoms 0..count-1; a reference is another phantom.

    Only the first `known` structures are asked for.
    """

    count: int
    known: int = len(NAMES)

    def draw(
        self,
        seed: int,
        step: int,
        *,
        needs_reference: bool,
        num_requests: int,
        size: int,
        self_reference: float,
        allows_absent: bool,
        share: tuple[int, int] = (0, 1),
    ) -> Episode:
        """Return the episode of a step; the same arguments give the same bytes."""
        rng = counter_rng(seed, step, "episode")
        images = -(-num_requests // REQUESTS_PER_IMAGE)
        rows = rng.integers(self.count, size=images)
        index = np.arange(num_requests) // REQUESTS_PER_IMAGE
        order = np.stack([rng.permutation(self.known) for _ in range(images)])
        concept = order[index, np.arange(num_requests) % REQUESTS_PER_IMAGE].astype(np.int64)
        others = (rows[index] + rng.integers(1, self.count, size=num_requests)) % self.count
        copies = rng.random(num_requests) < self_reference
        others = np.where(copies, rows[index], others)
        return Episode(
            images=np.stack([phantom(int(row), size).image for row in rows]),
            image_index=index.astype(np.int64),
            concept=concept,
            targets=_coverage(rows[index], concept, size),
            reference_images=_images(others, size)[:, None] if needs_reference else None,
            reference_masks=_coverage(others, concept, size)[:, None] if needs_reference else None,
            is_absent=np.zeros(num_requests, bool),
            row=rows[index].astype(np.int64),
            reference_rows=others[:, None].astype(np.int64) if needs_reference else None,
        )


@cache
def phantom(number: int, size: int) -> Phantom:
    """Draw a square phantom once."""
    return draw_phantom(number, size, size)


def _images(rows: np.ndarray, size: int) -> np.ndarray:
    return np.stack([phantom(int(row), size).image for row in rows])


def _coverage(rows: np.ndarray, concept: np.ndarray, size: int) -> np.ndarray:
    masks = [phantom(int(r), size).masks[int(c)] for r, c in zip(rows, concept, strict=True)]
    return np.stack(masks).astype(np.uint8) * np.uint8(255)
