"""The two tasks of `two_tasks`, of which a reference shows the one that is meant."""

from __future__ import annotations

import numpy as np

from medprism.core.randomness import counter_rng
from medprism.data.episode import Episode

from .two_tasks import TASKS, draw_boxes


class ShownBoxes:
    """Episodes on pictures with a bright and a dark box; the reference shows which is meant."""

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
        rng = counter_rng(seed, step, "boxes")
        queries = [draw_boxes(rng, size) for _ in range(num_requests)]
        references = [draw_boxes(rng, size) for _ in range(num_requests)]
        concept = np.arange(num_requests) % TASKS
        shown = np.stack([image for image, _ in references])
        meant = _chosen(references, concept)
        return Episode(
            images=np.stack([image for image, _ in queries]),
            image_index=np.arange(num_requests),
            concept=concept,
            targets=_chosen(queries, concept),
            reference_images=shown[:, None] if needs_reference else None,
            reference_masks=meant[:, None] if needs_reference else None,
            is_absent=np.zeros(num_requests, bool),
            row=np.arange(num_requests),
            reference_rows=np.arange(num_requests)[:, None] if needs_reference else None,
        )


def _chosen(drawn: list[tuple[np.ndarray, np.ndarray]], concept: np.ndarray) -> np.ndarray:
    masks = [masks[number] for (_, masks), number in zip(drawn, concept, strict=True)]
    return np.stack(masks).astype(np.uint8) * np.uint8(255)
