"""Cross-validation over patients: `python -m benchmarks.iris_volumes.folds`.

The patients of each set are dealt into folds by a seed, whatever the written split says. For every
fold one Iris is trained on the other folds of all sets together and measured on the fold by one
reference of its training cases. Writes OUT/folds.json and folds.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Any, Final

import typer

from benchmarks.iris_volumes.cases import Bench, Cases, cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.ground import read_ground, train_iris
from benchmarks.iris_volumes.options import (
    Data,
    Minutes,
    Most,
    Out,
    PresetName,
    Seed,
    Steps,
    Threads,
)
from benchmarks.iris_volumes.page import class_table
from benchmarks.iris_volumes.results import Held, Results, by_set
from benchmarks.iris_volumes.scores import Dices
from benchmarks.iris_volumes.strategies import one_shot
from benchmarks.training_length import Length
from medprism.core.concepts import ConceptTable
from medprism.core.randomness import counter_rng
from medprism.data.datasets.folder import FolderDataset
from medprism.engines.iris import LoadedIris
from medprism.engines.threads import use_threads
from medprism.models.catalog import IRIS_PRESETS
from medprism.training.iris.config import iris_recipe

CROSSED: Final = ("miccai2012_oasis_brain_mri", "acdc_cardiac_mri")
"""Sets with so few test patients that one split says little."""
ALL: Final = "all folds"


def split_by_fold(dataset: FolderDataset, folds: int, fold: int, seed: int) -> FolderDataset:
    """Return the dataset with the patients of one fold as `test` and all others as `train`.

    Raises:
        BadParameter: fewer patients than folds, or fewer than two folds.
    """
    who = Cases(dataset, {}).patients()
    patients = sorted(set(who.values()))
    if not 2 <= folds <= len(patients):
        raise typer.BadParameter(
            f"{dataset.info.name} has {len(patients)} patients, which cannot be dealt into {folds} "
            "folds; choose 2 to as many as there are patients"
        )
    order = counter_rng(seed, dataset.info.name, "folds").permutation(len(patients))
    held = {patients[int(at)] for place, at in enumerate(order) if place % folds == fold}
    split = {case: "test" if patient in held else "train" for case, patient in who.items()}
    return replace(dataset, split=split)


class CrossValidation:
    """All folds of all sets; each is trained when its first figure is wanted."""

    def __init__(
        self,
        datasets: Sequence[FolderDataset],
        concepts: ConceptTable,
        results: Results,
        length: Length,
        most: int | None,
    ) -> None:
        self.concepts, self.results, self.length = concepts, results, length
        folds, seed = int(results.about["folds"]), int(results.about["seed"])
        self.folds = [
            cases_of([split_by_fold(one, folds, fold, seed) for one in datasets], concepts, most)
            for fold in range(folds)
        ]
        self.loaded = cache(self._train)

    def _train(self, fold: int) -> LoadedIris:
        preset = str(self.results.about["preset"])
        config = replace(iris_recipe(preset, 1), seed=int(self.results.about["seed"]))
        ground = read_ground(self.folds[fold], self.concepts, config)
        settings = IRIS_PRESETS[preset].config(len(self.concepts))
        folder = self.results.folder / "runs" / f"fold{fold + 1}-{self.length.slug}"
        return train_iris(ground, settings, self.length, folder)[0]

    def _one_shot(self, fold: int, cases: Cases) -> Dices:
        return one_shot(Bench(self.loaded(fold), cases))

    def measure(self) -> None:
        """Measure every fold on every set."""
        for fold, cases in enumerate(self.folds):
            for one in cases:
                key = f"{one.name} | fold {fold + 1}"
                self.results.take_dice(key, partial(self._one_shot, fold, one))


def joined(columns: Mapping[str, Any]) -> Dices:
    """Return Dice of all cases of all folds together; every case is in one fold.

    >>> joined({"fold 1": {"cases": {"liver": {"a": 0.5}}},
    ...         "fold 2": {"cases": {"liver": {"b": 1.0}}}})
    {'liver': {'a': 0.5, 'b': 1.0}}
    """
    found: Dices = {}
    for row in columns.values():
        for name, values in row["cases"].items():
            found.setdefault(name, {}).update(values)
    return found


def page(results: Held | Results, level: str = "##") -> str:
    """Return the figures as Markdown: a column a fold, and all patients together."""
    lines = []
    for name, columns in by_set(results.rows).items():
        dices = {what: row["cases"] for what, row in columns.items()}
        patients = results.patients[name]
        lines += [f"{level} {name}", ""]
        lines += [class_table({**dices, ALL: joined(columns)}, patients), ""]
    return "\n".join(lines)


def main(
    data: Data,
    out: Out,
    steps: Steps = None,
    minutes: Minutes = None,
    folds: Annotated[int, typer.Option(help="How many folds.")] = 4,
    datasets: Annotated[
        str, typer.Option(help="The sets whose patients are dealt, with commas.")
    ] = ",".join(CROSSED),
    most: Most = None,
    preset: PresetName = "iris-compact",
    seed: Seed = 1,
    threads: Threads = 1,
) -> None:
    """Train one Iris a fold (--steps or --minutes each) and measure it on the patients left out."""
    use_threads(threads)
    length = Length(steps=steps, minutes=minutes)
    opened = open_sets(data, datasets)
    concepts = table_of_sets(opened)
    names = [one.info.name for one in opened]
    about = {"preset": preset, "seed": seed, "folds": folds, "sets": names, **length.to_json()}
    results = Results(out, "folds", about)
    crossed = CrossValidation(opened, concepts, results, length, most)
    results.note_patients(crossed.folds[0])
    crossed.measure()
    written = f"# Cross-validation over patients\n\n{page(results)}"
    results.publish(written)


if __name__ == "__main__":
    typer.run(main)
