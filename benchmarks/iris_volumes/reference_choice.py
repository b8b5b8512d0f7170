"""How much hangs on the one reference: `python -m benchmarks.iris_volumes.reference_choice`.

Every test volume is segmented by each of some references that a seed draws from the training
cases. A window is encoded once for several references; each is decoded by itself. Writes
OUT/reference_choice.json and reference_choice.md: mean, deviation, worst and best reference of
every class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.iris_volumes.cases import Bench, benches_of, cases_of, open_sets
from benchmarks.iris_volumes.options import Data, Model, Most, Names, Out, Seed, Threads
from benchmarks.iris_volumes.results import Results, by_set
from benchmarks.iris_volumes.scores import Dices, score
from medprism.core.randomness import counter_rng
from medprism.core.volume_intensity import standardise_volume
from medprism.core.working_grid import WorkingGrid
from medprism.engines.iris import load_iris
from medprism.evaluation.page import table
from medprism.inference.iris.encoding import encode_task
from medprism.inference.iris.sliding import slide
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.embedding import TaskEmbeddings, stack_classes
from medprism.models.iris.model import Iris
from medprism.models.segmenter import Features

# References that share the encoding of a window; their logits are held side by side.
TOGETHER: Final = 4
REFERENCE: Final = "reference "


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Iris with several rows of embeddings, each decoded alone as if the others were not there."""

    model: Iris
    rows: tuple[TaskEmbeddings, ...]

    @property
    def config(self) -> IrisConfig:
        """Settings of the model."""
        return self.model.config

    def encode(self, image: Tensor) -> Features:
        """Encode images, once for all rows."""
        return self.model.encode(image)

    def decode(self, features: Features, tasks: TaskEmbeddings) -> Tensor:
        """Return the logits of the classes of all rows, row after row."""
        return torch.cat([self.model.decode(features, one) for one in self.rows], 1)


def draw_references(bench: Bench, count: int, seed: int) -> list[str]:
    """Return `count` training cases in an order that the seed draws, all if there are fewer."""
    cases = bench.cases.of("train")
    order = counter_rng(seed, bench.cases.name, "references").permutation(len(cases))
    return [cases[int(at)] for at in order[:count]]


def measure_references(bench: Bench, chosen: Sequence[str]) -> dict[str, Dices]:
    """Return Dice of every class on every test case, by each reference that shows the class."""
    loaded, classes = bench.loaded, bench.classes
    references = [bench.cases.read(case) for case in chosen]
    shown = tuple(name for name in classes if any(one.masks[name].any() for one in references))
    task = encode_task(loaded, references, shown, spacing=bench.spacing)
    rows = tuple(task.pool.select(torch.tensor([row])) for row in range(len(chosen)))
    beside, stack = SideBySide(loaded.model, rows), stack_classes(rows)
    found: dict[str, Dices] = {case: {} for case in chosen}
    for case in bench.cases.of("test"):
        query = bench.cases.read(case)
        grid = WorkingGrid(query.image.geometry, bench.spacing)
        logits = slide(beside, grid.bring(standardise_volume(query.image)), stack, loaded.window)
        for row, reference in enumerate(chosen):
            part = logits[row * len(shown) : (row + 1) * len(shown)]
            masks = {
                name: grid.take_back(one) > 0
                for name, one, known in zip(shown, part, rows[row].present[0], strict=True)
                if known
            }
            for name, value in score(masks, query.masks).items():
                found[reference].setdefault(name, {})[case] = value
    return found


def measure_set(bench: Bench, results: Results, count: int, seed: int) -> None:
    """Measure the references of one set, several at a time."""
    chosen = draw_references(bench, count, seed)
    keys = {case: f"{bench.cases.name} | {REFERENCE}{case}" for case in chosen}
    missing = [case for case in chosen if keys[case] not in results.rows]
    for group in _groups(missing):
        work = cache(partial(measure_references, bench, group))
        for case in group:
            results.take_dice(keys[case], partial(_of_reference, work, case))


def _of_reference(work: Callable[[], dict[str, Dices]], case: str) -> Dices:
    return work()[case]


def _groups(cases: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(cases), TOGETHER):
        yield tuple(cases[start : start + TOGETHER])


@dataclass(frozen=True)
class Spread:
    """What a class' mean Dice is over references; `deviation` is that of the sample."""

    references: int
    mean: float
    deviation: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of a class' mean Dice over references.

    >>> spread([0.5, 0.75, 1.0])
    Spread(references=3, mean=0.75, deviation=0.25, least=0.5, most=1.0)
    """
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Spread(len(values), float(np.mean(values)), deviation, min(values), max(values))


def spreads(columns: Mapping[str, Any]) -> dict[str, Spread]:
    """Return the spread of every class of a set, and under "mean" that of the mean over classes."""
    by_class: dict[str, list[float]] = {}
    for row in columns.values():
        for name, value in row["value"].items():
            by_class.setdefault(name, []).append(value)
        by_class.setdefault("mean", []).append(float(np.mean(list(row["value"].values()))))
    overall = by_class.pop("mean")
    return {name: spread(values) for name, values in (*by_class.items(), ("mean", overall))}


def page(rows: Mapping[str, Any], level: str = "##") -> str:
    """Return the figures as Markdown: a table a set, classes by row."""
    lines = []
    for name, columns in by_set(rows).items():
        cells = [
            [
                label,
                str(one.references),
                *(f"{v:.3f}" for v in (one.mean, one.deviation, one.least, one.most)),
            ]
            for label, one in spreads(columns).items()
        ]
        header = ["class", "references", "mean", "deviation", "worst", "best"]
        lines += [f"{level} {name}", "", table(header, cells), ""]
    return "\n".join(lines)


def main(
    data: Data,
    model: Model,
    out: Out,
    references: Annotated[int, typer.Option(help="How many references of each set.")] = 10,
    datasets: Names = "",
    most: Most = None,
    seed: Seed = 1,
    threads: Threads = 1,
) -> None:
    """Measure one-shot Dice by each of several references."""
    loaded = load_iris(model, threads)
    results = Results(out, "reference_choice", {"weights_hash": loaded.weights_hash, "seed": seed})
    cases = cases_of(open_sets(data, datasets), loaded.concepts, most)
    results.note_patients(cases)
    for bench in benches_of(loaded, cases):
        measure_set(bench, results, references, seed)
    written = f"# How much hangs on the reference\n\n{page(results.rows)}"
    results.publish(written)


if __name__ == "__main__":
    typer.run(main)
