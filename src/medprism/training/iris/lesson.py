"""What one episode teaches: a loss, and how well the query was segmented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from medprism.data.volume_episode import VolumeEpisode
from medprism.models.iris.embedding import TaskEmbeddings, stack_rows
from medprism.models.iris.model import Iris
from medprism.models.iris.tuning import class_losses
from medprism.training.distributed import Alone, Replicas


@dataclass(frozen=True, eq=False)
class Lesson:
    """The loss to descend and the mean hard Dice over the classes that the query shows.

    `dice` is None where it shows none.
    """

    loss: Float[Tensor, ""]
    dice: float | None


@runtime_checkable
class LearnsVolumes(Protocol):
    """A model with its way of learning from episodes on volumes."""

    @property
    def model(self) -> nn.Module:
        """The model whose weights change."""

    def study(self, episode: VolumeEpisode) -> Lesson:
        """Return the loss of an episode, with its graph."""

    def finish_step(self) -> None:
        """Do what follows a step of the optimizer."""


@dataclass
class IrisLearner:
    """Iris learns from a reference; its bank takes in what those of all `replicas` said."""

    model: Iris
    replicas: Replicas = field(default_factory=Alone)
    _concepts: list[Tensor] = field(default_factory=list)
    _tasks: list[TaskEmbeddings] = field(default_factory=list)

    def study(self, episode: VolumeEpisode) -> Lesson:
        """Segment the query by its reference [Iris, Alg. 1]; loss is Dice + cross-entropy."""
        logits, tasks = self.model(
            image_tensor(episode.image),
            image_tensor(episode.reference_image),
            mask_tensor(episode.reference_masks),
        )
        if self.model.training:
            self._tasks.append(tasks.map(lambda tensor: tensor.detach()))
            self._concepts.append(torch.from_numpy(episode.concept))
        target = mask_tensor(episode.target)
        return Lesson(class_losses(logits, target).mean(), mean_dice(logits, target))

    def finish_step(self) -> None:
        """Move the bank by the references of the step."""
        rows = stack_rows(self._tasks)
        concepts = torch.zeros(rows.present.shape, dtype=torch.int64)
        for row, numbers in enumerate(self._concepts):
            concepts[row, : len(numbers)] = numbers
        (tally,) = self.replicas.add_up((self.model.tally(concepts, rows),))
        self.model.bank.take_in(tally)
        self._tasks.clear()
        self._concepts.clear()


def image_tensor(image: Float32[np.ndarray, "slices height width"]) -> Float32[Tensor, "1 1 _ _ _"]:
    """Return one image as a batch.

    A copy, since sums over memory that torch has not aligned are rounded differently each time.
    """
    return torch.from_numpy(np.ascontiguousarray(image)).clone()[None, None]


def mask_tensor(
    masks: Bool[np.ndarray, "classes slices height width"],
) -> Float32[Tensor, "1 classes _ _ _"]:
    """Return the masks of one image as a batch, 0 or 1."""
    return torch.from_numpy(masks).to(torch.float32)[None]


def mean_dice(
    logits: Float[Tensor, "1 classes ..."], target: Float[Tensor, "1 classes ..."]
) -> float | None:
    """Return the mean Dice over classes of which the target shows a voxel, None without one."""
    found, wanted = logits[0].detach().flatten(1) > 0, target[0].flatten(1) > 0
    shown = wanted.any(1)
    if not bool(shown.any()):
        return None
    common = (found & wanted).sum(1)[shown]
    total = (found.sum(1) + wanted.sum(1))[shown]
    return float((2 * common / total).mean())
