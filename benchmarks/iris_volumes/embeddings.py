"""What task embeddings reveal: `python -m benchmarks.iris_volumes.embeddings`.

The embeddings of all classes of all training references of all sets, at unit length as retrieval
compares them. Writes OUT/embeddings.json, embeddings.md and embeddings.png: the first two principal
components, coloured by class; how often the nearest embedding is of the same class; and how alike
structures are that lie side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import typer
from jaxtyping import Float64

from benchmarks.iris_volumes.cases import Bench, benches_of, cases_of, open_sets
from benchmarks.iris_volumes.options import Data, Model, Most, Names, Out, Threads
from benchmarks.iris_volumes.pictures import draw_scatter
from benchmarks.iris_volumes.results import Results
from medprism.engines.iris import load_iris
from medprism.evaluation.page import table
from medprism.inference.iris.encoding import encode_task
from medprism.models.iris.retrieval import describe_tasks

Vectors = Float64[np.ndarray, "embeddings features"]

NEIGHBOURS: Final = (
    ("left ventricle", "myocardium"),
    ("anterior hippocampus", "posterior hippocampus"),
    ("hippocampus", "amygdala"),
    ("caudate", "putamen"),
    ("caudate", "accumbens"),
    ("putamen", "pallidum"),
    ("thalamus", "ventral diencephalon"),
    ("brain stem", "ventral diencephalon"),
    ("lateral ventricle", "third and fourth ventricle"),
    ("cerebellum grey matter", "cerebellum white matter"),
    ("cortical grey matter", "cerebral white matter"),
)
"""Structures that touch in the body; left and right partners are found by their names."""
FIGURES: Final = "embeddings"


@dataclass(frozen=True)
class Point:
    """One embedding: whose it is, and where it lies in the picture."""

    dataset: str
    case: str
    concept: str
    x: float
    y: float


@dataclass(frozen=True)
class Labelled:
    """Embeddings at unit length with what each one is of."""

    datasets: tuple[str, ...]
    cases: tuple[str, ...]
    concepts: tuple[str, ...]
    vectors: Vectors


def embed_sets(benches: Iterable[Bench]) -> Labelled:
    """Encode every training reference of every set."""
    datasets, cases, concepts, vectors = [], [], [], []
    for bench in benches:
        names = bench.cases.of("train")
        references = [bench.cases.read(case) for case in names]
        task = encode_task(bench.loaded, references, bench.classes, spacing=bench.spacing)
        described = describe_tasks(task.pool).to(dtype=task.pool.tokens.dtype).numpy()
        for row, column in task.pool.present.nonzero().tolist():
            datasets.append(bench.cases.name)
            cases.append(names[row])
            concepts.append(bench.classes[column])
            vectors.append(described[row, column].astype(np.float64))
    return Labelled(tuple(datasets), tuple(cases), tuple(concepts), np.stack(vectors))


def project(vectors: Vectors) -> tuple[Float64[np.ndarray, "embeddings 2"], tuple[float, float]]:
    """Return the first two principal components, and the share of the variance that each holds.

    The sign of an axis is such that its largest entry is positive.
    """
    centred = vectors - vectors.mean(0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    placed = left[:, :2] * lengths[:2]
    largest = np.abs(placed).argmax(0)
    placed = placed * np.sign(placed[largest, np.arange(placed.shape[1])])
    shares = lengths**2 / (lengths**2).sum()
    return placed, (float(shares[0]), float(shares[1]))


def nearest_same(vectors: Vectors, concepts: Sequence[str]) -> tuple[float, float]:
    """Return how often the nearest other embedding is of the same class, and what chance gives.

    >>> near = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.1, 0.9]])
    >>> nearest_same(near, ["a", "a", "b", "b"])
    (1.0, 0.3333333333333333)
    """
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    names = np.asarray(concepts)
    found = float((names[cosine.argmax(1)] == names).mean())
    _, counts = np.unique(names, return_counts=True)
    chance = float((counts * (counts - 1)).sum() / (len(names) * (len(names) - 1)))
    return found, chance


def partners(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return names that differ in left and right only.

    >>> partners(["left kidney", "liver", "right kidney"])
    [('left kidney', 'right kidney')]
    """
    known = sorted(set(names))
    turned = {name: f" {name} ".replace(" left ", " right ").strip() for name in known}
    return [(name, other) for name, other in turned.items() if name != other and other in known]


def alike(found: Labelled) -> dict[str, dict[str, Any]]:
    """Return the mean cosine of pairs of embeddings of different references, by kind of pair.

    Kinds: the same class, each pair of neighbours or partners, all neighbours, other structures of
    one set, and structures of two sets.
    """
    cosine = found.vectors @ found.vectors.T
    touching = {frozenset(pair): pair for pair in (*NEIGHBOURS, *partners(found.concepts))}
    kinds: dict[str, list[float]] = {"the same structure": [], "neighbours": []}
    kinds |= {"other structures of the same set": [], "structures of two sets": []}
    for one, other in combinations(range(len(found.concepts)), 2):
        if (found.datasets[one], found.cases[one]) == (found.datasets[other], found.cases[other]):
            continue
        value = float(cosine[one, other])
        names = frozenset((found.concepts[one], found.concepts[other]))
        if len(names) == 1:
            kinds["the same structure"].append(value)
        elif found.datasets[one] != found.datasets[other]:
            kinds["structures of two sets"].append(value)
        elif names in touching:
            kinds["neighbours"].append(value)
            kinds.setdefault(" and ".join(touching[names]), []).append(value)
        else:
            kinds["other structures of the same set"].append(value)
    return {
        kind: {"cosine": round(float(np.mean(values)), 4), "pairs": len(values)}
        for kind, values in kinds.items()
        if values
    }


def reveal(found: Labelled) -> dict[str, Any]:
    """Return all that is said about embeddings, as plain data."""
    placed, shares = project(found.vectors)
    same, chance = nearest_same(found.vectors, found.concepts)
    points = [
        Point(*who, x=round(x, 4), y=round(y, 4))
        for who, (x, y) in zip(
            zip(found.datasets, found.cases, found.concepts, strict=True),
            placed.tolist(),
            strict=True,
        )
    ]
    return {
        "points": [asdict(point) for point in points],
        "variance": [round(share, 4) for share in shares],
        "nearest": {"same": round(same, 4), "chance": round(chance, 4)},
        "alike": alike(found),
    }


def page(value: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    nearest, (first, second) = value["nearest"], value["variance"]
    rows = [
        [kind, str(one["pairs"]), f"{one['cosine']:.3f}"] for kind, one in value["alike"].items()
    ]
    return (
        f"{len(value['points'])} embeddings. The nearest other one is of the same class in "
        f"{nearest['same']:.1%} of cases (by chance: {nearest['chance']:.1%}). The picture's axes "
        f"hold {first:.0%} and {second:.0%} of the variance.\n\n"
        + table(["pairs of different references", "pairs", "mean cosine"], rows)
        + "\n"
    )


def draw(value: Mapping[str, Any], path: Path) -> None:
    """Draw the picture from the figures."""
    points = [Point(**point) for point in value["points"]]
    draw_scatter([(one.dataset, one.concept, one.x, one.y) for one in points], path)


def main(
    data: Data,
    model: Model,
    out: Out,
    datasets: Names = "",
    most: Most = None,
    threads: Threads = 1,
) -> None:
    """Encode all training references and show how their embeddings lie."""
    loaded = load_iris(model, threads)
    results = Results(out, "embeddings", {"weights_hash": loaded.weights_hash})
    cases = cases_of(open_sets(data, datasets), loaded.concepts, most)
    results.note_patients(cases)
    value = results.take(FIGURES, lambda: reveal(embed_sets(benches_of(loaded, cases))))
    draw(value, out / "embeddings.png")
    written = f"# What task embeddings reveal\n\n{page(value)}"
    results.publish(written)


if __name__ == "__main__":
    typer.run(main)
