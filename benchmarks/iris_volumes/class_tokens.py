"""A universal model with learned class tokens: `python -m benchmarks.iris_volumes.class_tokens`.

It has the blocks of Iris and learns from the queries of the same episodes, all sets at once; what
to segment is a row of a table instead of a reference. Writes OUT/class_tokens.json and
class_tokens.md: Dice of every class on the test volumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
import typer

from benchmarks.iris_volumes.cases import Cases, cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.ground import Ground, read_ground
from benchmarks.iris_volumes.options import (
    Data,
    Minutes,
    Most,
    Names,
    Out,
    PresetName,
    Seed,
    Steps,
    Threads,
)
from benchmarks.iris_volumes.page import tables_by_set
from benchmarks.iris_volumes.results import Results
from benchmarks.iris_volumes.scores import Dices, Segment, measure
from benchmarks.iris_volumes.task_unet import by_windows
from benchmarks.iris_volumes.training import train
from benchmarks.training_length import Length
from medprism.core.concepts import ConceptTable
from medprism.data.volume_episode import VolumeEpisode
from medprism.engines.threads import use_threads
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.tuning import class_losses
from medprism.models.zoo.class_token import ClassTokens
from medprism.training.iris.config import iris_recipe
from medprism.training.iris.lesson import Lesson, image_tensor, mask_tensor, mean_dice


@dataclass
class ClassTokenLearner:
    """The table learns from the queries of episodes; references are not looked at."""

    model: ClassTokens

    def study(self, episode: VolumeEpisode) -> Lesson:
        """Segment the query by the rows of its classes."""
        concept = torch.from_numpy(episode.concept)[None]
        logits = self.model(image_tensor(episode.image), concept)
        target = mask_tensor(episode.target)
        return Lesson(class_losses(logits, target).mean(), mean_dice(logits, target))

    def finish_step(self) -> None:
        """Do nothing more."""


def train_class_tokens(ground: Ground, preset: str, length: Length, folder: Path) -> ClassTokens:
    """Train the universal model and return it with its averaged weights."""
    settings = IRIS_PRESETS[preset].config(len(ground.concepts))

    def make() -> ClassTokenLearner:
        return ClassTokenLearner(ClassTokens(settings))

    trained = train(make, ground.episodes, ground.config, length, folder)
    model = make().model
    model.load_state_dict(trained.weights)
    return model.eval()


def by_class(cases: Cases, model: ClassTokens, ground: Ground) -> Segment:
    """Return the function that segments all classes of a set by their rows, in one pass."""
    rows = torch.tensor([[ground.concepts.row(name) for name in cases.classes]])
    with torch.inference_mode():
        tasks = model.look_up(rows)
    window = ground.config.episode.side
    return by_windows(cases.classes, model, tasks, ground.spacing[cases.name], window)


def measure_sets(
    cases: Sequence[Cases], concepts: ConceptTable, results: Results, length: Length
) -> None:
    """Train once and measure every set; nothing is trained where all is there."""
    preset, seed = str(results.about["preset"]), int(results.about["seed"])

    @cache
    def taught() -> tuple[ClassTokens, Ground]:
        ground = read_ground(cases, concepts, replace(iris_recipe(preset, 1), seed=seed))
        folder = results.folder / "runs" / f"class_tokens-{length.slug}"
        return train_class_tokens(ground, preset, length, folder), ground

    def measured(one: Cases) -> Dices:
        return measure(one, by_class(one, *taught()))

    for one in cases:
        results.take_dice(f"{one.name} | class tokens, {length}", partial(measured, one))


def main(
    data: Data,
    out: Out,
    steps: Steps = None,
    minutes: Minutes = None,
    datasets: Names = "",
    most: Most = None,
    preset: PresetName = "iris-compact",
    seed: Seed = 1,
    threads: Threads = 1,
) -> None:
    """Train a model with learned class tokens on all sets and measure it on each."""
    use_threads(threads)
    length = Length(steps=steps, minutes=minutes)
    opened = open_sets(data, datasets)
    concepts = table_of_sets(opened)
    cases = cases_of(opened, concepts, most)
    about = {"preset": preset, "seed": seed, **length.to_json()}
    results = Results(out, "class_tokens", about)
    results.note_patients(cases)
    measure_sets(cases, concepts, results, length)
    lines = [
        "# Learned class tokens on volumes",
        "",
        *tables_by_set(results.rows, results.patients),
    ]
    results.publish("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
