"""Two tasks on the same images with opposite answers: the bright box, and the dark one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from medprism.core.randomness import counter_rng
from medprism.data.episode import Episode
from medprism.models.tpseg.config import tpseg_nano
from medprism.models.tpseg.model import TPSeg
from medprism.training.config import PhaseConfig, StageConfig, TrainConfig

SIZE: Final = 64
TASKS: Final = 2


@dataclass(frozen=True)
class BoxSampler:
    """Draw images with both boxes; every image is asked for both, or for the tasks named."""

    tasks: tuple[int, ...] = (0, 1)

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
        assert not needs_reference
        rng = counter_rng(seed, step, "boxes")
        per_image = len(self.tasks)
        drawn = [draw_boxes(rng, size) for _ in range(num_requests // per_image)]
        index = np.repeat(np.arange(len(drawn)), per_image)
        concept = np.tile(np.array(self.tasks), len(drawn))
        targets = [drawn[i][1][k % TASKS] for i, k in zip(index, concept, strict=True)]
        return Episode(
            images=np.stack([image for image, _ in drawn]),
            image_index=index.astype(np.int64),
            concept=concept.astype(np.int64),
            targets=np.stack(targets).astype(np.uint8) * np.uint8(255),
            reference_images=None,
            reference_masks=None,
            is_absent=np.zeros(len(index), bool),
            row=index.astype(np.int64),
            reference_rows=None,
        )


def draw_boxes(rng: np.random.Generator, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of noise with a bright and a dark box, and the masks of both."""
    image = rng.normal(120, 12, (size, size))
    masks = np.zeros((TASKS, size, size), bool)
    for number, left in enumerate(rng.permutation([0, size // 2])):
        top, across = int(rng.integers(3, size - 28)), int(left) + int(rng.integers(2, 12))
        box = (slice(top, top + 24), slice(across, across + 16))
        masks[(number, *box)] = True
        image[box] += 80 - 160 * number
    grey = np.clip(image, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), masks


def task_config(steps: int, **changes: Any) -> TrainConfig:  # noqa: ANN401
    """Return a run of TP-Seg's nano on the boxes."""
    settings: dict[str, Any] = {
        "preset": "tpseg-nano",
        "steps": steps,
        "stages": (StageConfig(size=SIZE, share=1.0, requests=8),),
        "odds": (1.0, 0.0, 0.0),
        "peak_rate": 4e-3,
        "ema": 0.9,
        "bfloat16": False,
        "phases": PhaseConfig(joint_share=0.7),
    }
    return TrainConfig(**{**settings, **changes})


def make_tasks(tasks: int = TASKS, seed: int = 1) -> TPSeg:
    """Build a nano."""
    torch.manual_seed(seed)
    return TPSeg(tpseg_nano(tasks))
