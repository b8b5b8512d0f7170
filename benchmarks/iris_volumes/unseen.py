"""Structures that training never showed: `python -m benchmarks.iris_volumes.unseen`.

An Iris is trained as `medprism train` does, on all sets but without some classes, and then asked
for them by one reference, together with those it learned. With --model a checkpoint that has seen
all of them is measured beside it. Writes OUT/unseen.json and unseen.md; OUT/runs holds the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.iris_volumes.cases import (
    Bench,
    Cases,
    cases_of,
    open_sets,
    split_names,
    table_of_sets,
)
from benchmarks.iris_volumes.options import (
    Data,
    Most,
    Names,
    Out,
    PresetName,
    Seed,
    Steps,
    Threads,
)
from benchmarks.iris_volumes.page import between, class_table
from benchmarks.iris_volumes.results import Held, Results, by_set
from benchmarks.iris_volumes.scores import Dices, interval
from benchmarks.iris_volumes.strategies import one_shot
from benchmarks.iris_volumes.training import Watch
from benchmarks.training_length import Length
from medprism.engines.iris import LoadedIris, load_iris
from medprism.engines.threads import use_threads
from medprism.evaluation.page import table
from medprism.training.iris.run import IrisOrder, IrisRun, is_iris_run
from medprism.training.run import LAST

UNSEEN: Final = (
    "amygdala",
    "caudate",
    "ventral diencephalon",
    "lateral ventricle",
    "cerebral white matter",
)
"""Every third of the 15 brain structures by their size, from the second smallest on. The
hippocampus is not among them (another set shows it), nor the cerebellum, of which there are parts.
"""
LEFT_OUT: Final = "left out"
BESIDE: Final = "seen by "


def train_without(
    folder: Path, data: Sequence[Path], preset: str, seed: int, length: Length, names: Sequence[str]
) -> Path:
    """Train on sets without some classes, or go on with it; return the last checkpoint."""
    if is_iris_run(folder):
        run = IrisRun.resume(folder)
    else:
        order = IrisOrder(
            preset=preset,
            data=tuple(data),
            steps=length.steps,
            minutes=length.minutes,
            without=tuple(names),
            seed=seed,
        )
        run = IrisRun.start(folder, order)
    watch = Watch()
    run.train(None, watch, watch)
    return folder / LAST


def measure_unseen(
    cases: Sequence[Cases],
    results: Results,
    checkpoint: Callable[[], Path],
    beside: LoadedIris | None,
) -> None:
    """Measure every set that has a class that was left out."""

    @cache
    def loaded() -> LoadedIris:
        return load_iris(checkpoint())

    def without(one: Cases) -> Dices:
        return one_shot(Bench(loaded(), one))

    for one in cases:
        if not set(one.classes) & set(results.about["without"]):
            continue
        results.take_dice(f"{one.name} | {LEFT_OUT}", partial(without, one))
        if beside is not None:
            what = f"{BESIDE}{beside.weights_hash[:12]}"
            results.take_dice(f"{one.name} | {what}", partial(one_shot, Bench(beside, one)))


def summary(columns: Mapping[str, Any], names: Sequence[str], patients: Mapping[str, str]) -> str:
    """Return a row for the classes that were left out and one for the others."""
    rows = []
    for kind, is_unseen in (("left out of training", True), ("seen in training", False)):
        parts = {
            what: {n: v for n, v in row["cases"].items() if (n in names) == is_unseen}
            for what, row in columns.items()
        }
        count = str(len(next(iter(parts.values()))))
        cells = [between(interval(part, patients)) if part else "-" for part in parts.values()]
        rows.append([kind, count, *cells])
    return table(["structures", "classes", *columns], rows)


def page(results: Held | Results, level: str = "##") -> str:
    """Return the figures as Markdown; classes that were left out come first."""
    names = results.about["without"]
    lines = []
    for name, columns in by_set(results.rows).items():
        patients = results.patients[name]
        dices = {
            what: dict(sorted(row["cases"].items(), key=lambda item: item[0] not in names))
            for what, row in columns.items()
        }
        marked = {
            what: {f"{n} (left out)" if n in names else n: v for n, v in one.items()}
            for what, one in dices.items()
        }
        lines += [f"{level} {name}", "", summary(columns, names, patients), ""]
        lines += [class_table(marked, patients), ""]
    return "\n".join(lines)


def main(
    data: Data,
    out: Out,
    steps: Steps = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes by the clock, or --steps.")] = None,
    without: Annotated[
        str, typer.Option(help="Classes that training must not see, with commas.")
    ] = ",".join(UNSEEN),
    model: Annotated[
        Path | None, typer.Option(help="Checkpoint that has seen them, to stand beside.")
    ] = None,
    datasets: Names = "",
    most: Most = None,
    preset: PresetName = "iris-compact",
    seed: Seed = 1,
    threads: Threads = 1,
) -> None:
    """Train without some classes, then ask for them by one reference."""
    use_threads(threads)
    length, names = Length(steps=steps, minutes=minutes), list(split_names(without))
    opened = open_sets(data, datasets)
    table_of_all = table_of_sets(opened)
    names = [table_of_all[table_of_all.row(name)].name for name in names]
    cases = cases_of(opened, table_of_all, most)
    about = {"preset": preset, "seed": seed, "without": names, **length.to_json()}
    results = Results(out, "unseen", about)
    results.note_patients(cases)
    folder = out / "runs" / f"unseen-{length.slug}"
    folders = [one.folder for one in opened]
    checkpoint = partial(train_without, folder, folders, preset, seed, length, names)
    measure_unseen(cases, results, checkpoint, load_iris(model) if model else None)
    written = f"# Structures that training never showed\n\n{page(results)}"
    results.publish(written)


if __name__ == "__main__":
    typer.run(main)
