"""What each part of the task encoder is for: `python -m benchmarks.iris_volumes.ablation`.

Iris whole, without high-resolution masks, without query tokens, without the foreground stream: the
paper's three ablations, each trained for equal steps on the same episodes and measured with one
reference. With --minutes the whole model's first steps say how many steps all of them take. Writes
OUT/ablation.json and ablation.md. Small structures are shown apart: what the masks at full
resolution are for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

import numpy as np
import typer

from benchmarks.iris_volumes.cases import Bench, Cases, cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.ground import Ground, read_ground, train_iris
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
from benchmarks.iris_volumes.page import between, tables_by_set
from benchmarks.iris_volumes.results import Results, by_set
from benchmarks.iris_volumes.scores import Dices, differences, interval_over_sets
from benchmarks.iris_volumes.strategies import one_shot
from benchmarks.iris_volumes.training import plan_steps
from benchmarks.training_length import Length
from medprism.core.concepts import ConceptTable
from medprism.data.volume_episode import exhaustive_rows
from medprism.engines.iris import LoadedIris
from medprism.engines.threads import use_threads
from medprism.evaluation.page import table
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.model import Iris
from medprism.training.iris.config import iris_recipe
from medprism.training.iris.lesson import IrisLearner

FULL: Final = "whole"
VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    FULL: {},
    "no high-resolution masks": {"mask_entry": "coarse"},
    "no query tokens": {"queries": 0},
    "no foreground stream": {"has_foreground": False},
}
"""What differs in the task encoder's settings [Iris, ablation]."""
SMALL_VOXELS: Final = 1000
"""A class is small where its mean volume in the training split is below this: a cube of ten
voxels of the working grid."""
SIZES: Final = "sizes"
STEPS: Final = "steps"


def settings_of(preset: str, classes: int, variant: str) -> IrisConfig:
    """Return the settings of a preset with what a variant leaves out."""
    config = IRIS_PRESETS[preset].config(classes)
    return replace(config, task=replace(config.task, **VARIANTS[variant]))


def sizes_of(ground: Ground) -> dict[str, dict[str, float]]:
    """Return the mean volume of every class of every set over its training split, in voxels."""
    found: dict[str, dict[str, float]] = {}
    for one in ground.sets:
        counts = [np.bincount(volume.labels.ravel(), minlength=256) for volume in one.of("train")]
        mean = np.mean(counts, axis=0)
        rows = exhaustive_rows(ground.concepts, one.info.name)
        found[one.info.name] = {
            ground.concepts[row].name: float(mean[list(ids)].sum()) for row, ids in rows.items()
        }
    return found


class Trial:
    """The variants of one plan, each trained when the first figure of it is wanted."""

    def __init__(
        self, cases: Sequence[Cases], concepts: ConceptTable, results: Results, length: Length
    ) -> None:
        self.cases, self.concepts, self.results, self.length = cases, concepts, results, length
        self.preset = str(results.about["preset"])
        self.ground = cache(self._read)
        self.loaded = cache(self._train)

    def _read(self) -> Ground:
        config = replace(iris_recipe(self.preset, 1), seed=int(self.results.about["seed"]))
        return read_ground(self.cases, self.concepts, config)

    def _plan(self) -> int:
        """Return the steps that every variant takes; minutes are those of the whole model."""
        ground = self.ground()
        settings = settings_of(self.preset, len(self.concepts), FULL)
        folder = self.results.folder / "runs" / f"ablation-plan-{self.length.slug}"
        return plan_steps(
            lambda: IrisLearner(Iris(settings)),
            ground.episodes,
            ground.config,
            self.length,
            folder,
        )

    def _train(self, variant: str) -> LoadedIris:
        settings = settings_of(self.preset, len(self.concepts), variant)
        name = f"ablation-{variant.replace(' ', '_')}-{self.length.slug}"
        length = Length(steps=int(self.results.take(STEPS, self._plan)))
        return train_iris(self.ground(), settings, length, self.results.folder / "runs" / name)[0]

    def measure(self) -> None:
        """Measure every variant on every set."""
        self.results.take(SIZES, lambda: sizes_of(self.ground()))
        self.results.take(STEPS, self._plan)
        for variant in VARIANTS:
            for one in self.cases:
                work = partial(self._one_shot, one, variant)
                self.results.take_dice(f"{one.name} | {variant}", work)

    def _one_shot(self, cases: Cases, variant: str) -> Dices:
        return one_shot(Bench(self.loaded(variant), cases))


def small_classes(sizes: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, ...]]:
    """Return the small classes of every set.

    >>> small_classes({"brain": {"accumbens": 340.0, "thalamus": 5000.0}})
    {'brain': ('accumbens',)}
    """
    return {
        name: tuple(label for label, size in by_class.items() if size < SMALL_VOXELS)
        for name, by_class in sizes.items()
    }


def summary(
    rows: Mapping[str, Any], patients: Mapping[str, Mapping[str, str]], *, only_small: bool
) -> str:
    """Return a table with a row a variant: Dice over all sets' classes, and what it loses."""
    small = small_classes(rows[SIZES]["value"])
    pooled: dict[str, dict[str, Dices]] = {}
    for name, columns in by_set({k: v for k, v in rows.items() if "cases" in v}).items():
        for variant, row in columns.items():
            kept = {
                label: values
                for label, values in row["cases"].items()
                if not only_small or label in small[name]
            }
            if kept:
                pooled.setdefault(variant, {})[name] = kept
    lines = []
    for variant, found in pooled.items():
        lost = "-"
        if variant != FULL:
            pairs = {name: differences(found[name], pooled[FULL][name]) for name in found}
            lost = between(interval_over_sets(pairs, patients), signed=True)
        count = str(sum(len(dices) for dices in found.values()))
        lines.append([variant, count, between(interval_over_sets(found, patients)), lost])
    return table(["model", "classes", "Dice, one reference", f"less {FULL}"], lines)


def page(results: Results) -> str:
    """Return the figures as Markdown."""
    rows, patients = results.rows, results.patients
    small = small_classes(rows[SIZES]["value"])
    listed = ", ".join(f"{label} ({name})" for name, labels in small.items() for label in labels)
    lines = ["# What the parts of the task encoder are for", ""]
    lines += [f"{rows[STEPS]['value']:,} steps each.", ""]
    lines += [summary(rows, patients, only_small=False), ""]
    lines += [f"Structures below {SMALL_VOXELS:,} working voxels: {listed or 'none'}.", ""]
    if listed:
        lines += [summary(rows, patients, only_small=True), ""]
    return "\n".join([*lines, *tables_by_set(rows, patients, FULL)])


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
    """Train Iris whole and without each part for equal steps; measure all by one reference."""
    use_threads(threads)
    length = Length(steps=steps, minutes=minutes)
    opened = open_sets(data, datasets)
    concepts = table_of_sets(opened)
    cases = cases_of(opened, concepts, most)
    results = Results(out, "ablation", {"preset": preset, "seed": seed, **length.to_json()})
    results.note_patients(cases)
    Trial(cases, concepts, results, length).measure()
    results.publish(page(results))


if __name__ == "__main__":
    typer.run(main)
