"""K-Prism on the same volumes: `python -m benchmarks.iris_volumes.kprism`.

Slice by slice, by one reference volume: the slices of it that show a structure (at most eight,
spread evenly) are the examples, and every class of a test volume is segmented in-context through a
`Session`, as a user would. Cases, classes and references are those of Iris' one shot. Writes
OUT/kprism.json and kprism.md.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import typer

from benchmarks.iris_volumes.cases import Cases, Masks, cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.options import Data, Most, Names, Out, Threads
from benchmarks.iris_volumes.page import tables_by_set
from benchmarks.iris_volumes.results import Results
from benchmarks.iris_volumes.scores import Dices, Segment, measure
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.inference.iris.encoding import VolumeReference
from medprism.inference.session import Session

WHAT = "K-Prism, one reference volume"


def by_session(cases: Cases, model: LoadedModel) -> Segment:
    """Return the function that segments a volume slice by slice by the first reference."""
    session = Session(model)
    missing = set(cases.classes)
    # Labels of their own, so that a class the model knows by name is not asked for by its name.
    labels = {name: f"structure {number}" for number, name in enumerate(cases.classes)}
    for reference in cases.first_references():
        for name in sorted(missing):
            if reference.masks[name].any():
                session.set_references([reference.image], [reference.masks[name]], labels[name])
                missing.discard(name)

    def segment(query: VolumeReference) -> Masks:
        session.set_image(query.image)
        asked = {name: label for name, label in labels.items() if name not in missing}
        session.predict(labels=list(asked.values()))
        return {
            name: np.asarray(query.image.to_stack(session.mask(label)))
            for name, label in asked.items()
        }

    return segment


def measure_set(cases: Cases, model: LoadedModel) -> Dices:
    """Measure one set by its first reference."""
    return measure(cases, by_session(cases, model))


def main(
    data: Data,
    out: Out,
    model: Annotated[
        str, typer.Option(help="Preset of K-Prism, or a checkpoint.")
    ] = "kprism-compact",
    engine: Annotated[str, typer.Option(help="Engine.")] = "auto",
    datasets: Names = "",
    most: Most = None,
    threads: Threads = 1,
) -> None:
    """Measure K-Prism in-context on the test volumes of every set."""
    loaded = load(model, engine, threads)
    opened = open_sets(data, datasets)
    cases = cases_of(opened, table_of_sets(opened), most)
    results = Results(out, "kprism", {"weights_hash": loaded.weights_hash})
    results.note_patients(cases)
    for one in cases:
        results.take_dice(f"{one.name} | {WHAT}", partial(measure_set, one, loaded))
    tables = tables_by_set(results.rows, results.patients)
    written = "\n".join(["# K-Prism on the same volumes", "", *tables])
    results.publish(written)


if __name__ == "__main__":
    typer.run(main)
