"""Batches of a run: drawn by step number, one step ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from medprism.core.preprocess import CENTRE, SCALE
from medprism.data.episode import Episode
from medprism.training.config import StepPlan, TrainConfig, plan_step
from medprism.training.step import Batch


@runtime_checkable
class DrawsEpisodes(Protocol):
    """Draw the episode of a step; the same arguments give the same bytes."""

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
        """Return images, targets and, where asked for, references.

        `share` is (rank, count): of images whose number leaves another remainder than rank when
        divided by count, neither they nor the references of their requests need be read.
        """


def draw_batch(
    sampler: DrawsEpisodes, config: TrainConfig, step: int, share: tuple[int, int] = (0, 1)
) -> tuple[Batch, StepPlan]:
    """Return what step number `step` learns from; only images of a share have to be real."""
    plan = plan_step(config.seed, step, config.odds)
    stage = config.stage(step)
    fade = max(config.self_reference_until * config.steps, 1e-9)
    episode = sampler.draw(
        config.seed,
        step,
        needs_reference=plan.asks_references,
        num_requests=stage.requests,
        size=stage.size,
        self_reference=max(0.0, 1.0 - step / fade),
        allows_absent=plan.asks_class,
        share=share,
    )
    return to_batch(episode), plan


def iterate_batches(
    sampler: DrawsEpisodes, config: TrainConfig, start: int, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[int, Batch, StepPlan]]:
    """Yield every step from `start` on, preparing the next one while the caller learns."""
    # OpenCV's own threads would fight with torch's over two cores.
    cv2.setNumThreads(0)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        coming = pool.submit(draw_batch, sampler, config, start, share)
        for step in range(start, config.steps):
            batch, plan = coming.result()
            if step + 1 < config.steps:
                coming = pool.submit(draw_batch, sampler, config, step + 1, share)
            yield step, batch, plan


def to_batch(episode: Episode) -> Batch:
    """Turn an episode's bytes into tensors by the one intensity contract."""
    size = episode.images.shape[1]
    if episode.reference_images is None or episode.reference_masks is None:
        reference_images = torch.zeros(len(episode.concept), 0, 3, size, size)
        reference_masks = torch.zeros(len(episode.concept), 0, size, size)
    else:
        requests, refs = episode.reference_images.shape[:2]
        flat = episode.reference_images.reshape(requests * refs, size, size, 3)
        reference_images = standardised(flat).reshape(requests, refs, 3, size, size)
        reference_masks = torch.from_numpy(episode.reference_masks.astype(np.float32) / 255)
    return Batch(
        images=standardised(episode.images),
        image_index=torch.from_numpy(episode.image_index),
        concept=torch.from_numpy(episode.concept),
        target=torch.from_numpy(episode.targets.astype(np.float32) / 255),
        reference_images=reference_images,
        reference_masks=reference_masks,
    )


def standardised(images: UInt8[np.ndarray, "n h w 3"]) -> torch.Tensor:
    """Return canvases as the model takes them: channels first, centred and scaled."""
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return (values - CENTRE) / SCALE
