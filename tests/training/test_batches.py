from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from medprism.core.preprocess import standardise
from medprism.data.episode import Episode
from medprism.training.batches import draw_batch, iterate_batches, to_batch

from .phantom_sampler import PhantomSampler
from .runs import small_config


class Watched:
    """Remembers what it was asked for, and by which thread."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.threads: set[str] = set()

    def draw(self, seed: int, step: int, **how: Any) -> Episode:  # noqa: ANN401
        """Draw phantoms."""
        self.asked.append({"seed": seed, "step": step, **how})
        self.threads.add(threading.current_thread().name)
        return PhantomSampler(4).draw(seed, step, **how)


def test_batches_hold_what_serving_would_see() -> None:
    episode = PhantomSampler(4).draw(
        1,
        0,
        needs_reference=True,
        num_requests=3,
        size=48,
        self_reference=0.0,
        allows_absent=False,
    )
    batch = to_batch(episode)
    assert batch.images.shape == (2, 3, 48, 48)
    for image, expected in zip(batch.images, episode.images, strict=True):
        assert np.array_equal(image.numpy(), standardise(expected))
    assert episode.reference_images is not None and episode.reference_masks is not None
    for request in range(3):
        expected = standardise(episode.reference_images[request, 0])
        assert np.array_equal(batch.reference_images[request, 0].numpy(), expected)
    assert torch.equal(batch.target * 255, torch.from_numpy(episode.targets).float())
    assert batch.reference_masks.max() == 1.0
    assert batch.concept.tolist() == episode.concept.tolist()


def test_a_batch_without_references_has_none() -> None:
    config = small_config(odds=(1.0, 0.0, 0.0))
    batch, plan = draw_batch(PhantomSampler(4), config, 0)
    assert plan.asks_class
    assert batch.reference_images.shape == (3, 0, 3, 48, 48)
    assert batch.reference_masks.shape == (3, 0, 48, 48)


def test_every_step_is_drawn_once_in_order_whatever_the_start() -> None:
    config = small_config(5)
    whole = list(iterate_batches(PhantomSampler(4), config, 0))
    assert [step for step, _, _ in whole] == list(range(5))
    late = list(iterate_batches(PhantomSampler(4), config, 3))
    for (step, batch, plan), (other_step, other_batch, other_plan) in zip(
        whole[3:], late, strict=True
    ):
        assert (step, plan) == (other_step, other_plan)
        assert torch.equal(batch.images, other_batch.images)
        assert torch.equal(batch.target, other_batch.target)


def test_the_sampler_is_asked_by_stage_plan_and_fading_self_reference() -> None:
    watched = Watched()
    config = small_config(10, self_reference_until=0.4)
    plans = {step: plan for step, _, plan in iterate_batches(watched, config, 0)}
    assert [ask["step"] for ask in watched.asked] == list(range(10))
    assert [ask["size"] for ask in watched.asked] == [48] * 5 + [64] * 5
    assert [ask["num_requests"] for ask in watched.asked] == [3] * 5 + [2] * 5
    fading = [1.0, 0.75, 0.5, 0.25] + [0.0] * 6
    assert [ask["self_reference"] for ask in watched.asked] == pytest.approx(fading)
    for ask in watched.asked:
        assert ask["needs_reference"] == plans[ask["step"]].asks_references
        assert ask["allows_absent"] == plans[ask["step"]].asks_class
        assert not (ask["needs_reference"] and ask["allows_absent"])
    assert all(name.startswith("batches") for name in watched.threads)
    assert cv2.getNumThreads() <= 1


def test_no_self_reference_is_possible_from_the_start() -> None:
    watched = Watched()
    draw_batch(watched, small_config(self_reference_until=0.0), 3)
    assert watched.asked[0]["self_reference"] == 0.0


def test_an_error_of_the_sampler_reaches_the_loop() -> None:
    class Broken:
        def draw(self, seed: int, step: int, **how: object) -> Episode:
            raise OSError(f"slice of step {step} is gone")

    with pytest.raises(OSError, match="step 0 is gone"):
        next(iterate_batches(Broken(), small_config(), 0))
