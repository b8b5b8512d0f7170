"""What a model is trained on to be measured: sets in memory, their class table, their episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.iris_volumes.cases import Cases
from benchmarks.iris_volumes.training import Trained, train
from benchmarks.training_length import Length
from medprism.core.concepts import ConceptTable
from medprism.data.volume_episode import VolumeEpisodes
from medprism.data.volumes import VolumeSet, coarse_spacing, read_volume_set
from medprism.engines.iris import LoadedIris
from medprism.models.checkpoint import hash_tensors
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.model import Iris
from medprism.training.iris.config import IrisTrainConfig
from medprism.training.iris.lesson import IrisLearner


@dataclass(frozen=True, eq=False)
class Ground:
    """Training volumes on their working grids, and the table of all their classes."""

    sets: tuple[VolumeSet, ...]
    concepts: ConceptTable
    config: IrisTrainConfig

    @property
    def episodes(self) -> VolumeEpisodes:
        """The episodes of a training."""
        return VolumeEpisodes(self.sets, self.concepts, self.config.episode)

    @property
    def spacing(self) -> dict[str, float]:
        """The working spacing of every set in mm."""
        return {one.info.name: one.spacing for one in self.sets}


def read_ground(cases: Sequence[Cases], concepts: ConceptTable, config: IrisTrainConfig) -> Ground:
    """Read all volumes of the sets that are measured."""
    sets = tuple(read_volume_set(one.dataset, config.episode.side) for one in cases)
    return Ground(sets, concepts, config)


def train_iris(
    ground: Ground, settings: IrisConfig, length: Length, folder: Path
) -> tuple[LoadedIris, Trained]:
    """Train an Iris of any settings; return it with its averaged weights, ready to segment."""

    def make() -> IrisLearner:
        return IrisLearner(Iris(settings))

    trained = train(make, ground.episodes, ground.config, length, folder)
    model = make().model
    model.load_state_dict(trained.weights)
    loaded = LoadedIris(
        name=folder.name,
        model=model.eval(),
        concepts=ground.concepts,
        window=ground.config.episode.side,
        coarse=coarse_spacing(ground.config.episode.side),
        spacing=ground.spacing,
        weights_hash=hash_tensors(trained.weights),
    )
    return loaded, trained
