"""One UNet for each set, with the blocks of Iris: what a task alone would train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from benchmarks.iris_volumes.cases import Cases, Masks
from benchmarks.iris_volumes.scores import Segment
from benchmarks.iris_volumes.training import Trained, train
from benchmarks.training_length import Length
from medprism.core.concepts import ConceptTable
from medprism.core.volume_intensity import standardise_volume
from medprism.core.working_grid import WorkingGrid
from medprism.data.volume_episode import VolumeEpisode, VolumeEpisodes
from medprism.data.volumes import read_volume_set
from medprism.inference.iris.encoding import VolumeReference
from medprism.inference.iris.sliding import DecodesVolumes, slide
from medprism.models.blocks.unet import UNetEncoder, UNetStep
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.iris.tuning import class_losses
from medprism.models.segmenter import Features
from medprism.training.iris.config import iris_recipe
from medprism.training.iris.lesson import Lesson, image_tensor, mask_tensor, mean_dice


class TaskUNet(nn.Module):
    """Iris' encoder and way up with a fixed class a channel."""

    def __init__(self, preset: str, classes: int) -> None:
        super().__init__()
        self.config = IRIS_PRESETS[preset].config(1)
        body = self.config.body
        self.encoder = UNetEncoder(body)
        levels = len(body.widths)
        self.steps = nn.ModuleList(UNetStep(body, level) for level in reversed(range(levels - 1)))
        self.head = nn.Conv3d(body.widths[0], classes, 1)
        # Most voxels show none of the classes.
        self.head.bias = nn.Parameter(torch.full((classes,), -2.0))

    def encode(self, image: Tensor) -> Features:
        """Return the maps of images."""
        return Features(self.encoder(image))

    def decode(self, features: Features, tasks: TaskEmbeddings | None = None) -> Tensor:
        """Return the logits of all classes; there is no task to ask for."""
        grid = features.maps[-1]
        for step, skip in zip(self.steps, features.maps[-2::-1], strict=True):
            grid = step(grid, skip)
        logits: Tensor = self.head(torch.relu(grid))
        return logits


@dataclass
class UNetLearner:
    """A UNet learns from the queries of the same episodes; references are not looked at."""

    model: TaskUNet
    rows: tuple[int, ...]

    def study(self, episode: VolumeEpisode) -> Lesson:
        """Segment the query by its classes' channels."""
        channels = [self.rows.index(int(row)) for row in episode.concept]
        logits = self.model.decode(self.model.encode(image_tensor(episode.image)))[:, channels]
        target = mask_tensor(episode.target)
        return Lesson(class_losses(logits, target).mean(), mean_dice(logits, target))

    def finish_step(self) -> None:
        """Do nothing more."""


def train_unet(
    cases: Cases, concepts: ConceptTable, preset: str, length: Length, folder: Path
) -> tuple[TaskUNet, Trained]:
    """Train a UNet on one set and return it with the averaged weights, and how far it came."""
    config = iris_recipe(preset, 1)
    volumes = read_volume_set(cases.dataset, config.episode.side)
    episodes = VolumeEpisodes([volumes], concepts, config.episode)
    rows = tuple(concepts.row(name) for name in cases.classes)

    def make() -> UNetLearner:
        return UNetLearner(TaskUNet(preset, len(rows)), rows)

    trained = train(make, episodes, config, length, folder)
    model = make().model
    model.load_state_dict(trained.weights)
    return model.eval(), trained


def by_unet(cases: Cases, model: TaskUNet, spacing: float, window: int) -> Segment:
    """Return the function that segments by a UNet, on the same grid and windows as Iris."""
    nothing = TaskEmbeddings(
        torch.zeros(1, len(cases.classes), 1, 1),
        torch.ones(1, len(cases.classes), dtype=torch.bool),
    )
    return by_windows(cases.classes, model, nothing, spacing, window)


def by_windows(
    classes: tuple[str, ...],
    model: DecodesVolumes,
    tasks: TaskEmbeddings,
    spacing: float,
    window: int,
) -> Segment:
    """Return the function that segments volumes window by window, by whatever decodes them."""

    def segment(query: VolumeReference) -> Masks:
        grid = WorkingGrid(query.image.geometry, spacing)
        working: Float32[np.ndarray, "slices height width"] = grid.bring(
            standardise_volume(query.image)
        )
        logits = slide(model, working, tasks, window)
        return {name: grid.take_back(one) > 0 for name, one in zip(classes, logits, strict=True)}

    return segment
