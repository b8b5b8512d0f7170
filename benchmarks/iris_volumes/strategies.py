"""Every way of asking Iris: one reference, all, the bank, retrieval, tuning; shares of the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import torch

from benchmarks.iris_volumes.cases import Bench, Masks
from benchmarks.iris_volumes.scores import Dices, Segment, measure
from medprism.core.image import Image
from medprism.core.randomness import counter_rng
from medprism.inference.iris.encoding import WorkingReference, encode_task, fit_embedding
from medprism.inference.iris.segmentation import Strategy, segment_by_task, tasks_of_bank
from medprism.inference.iris.task_file import Task
from medprism.models.iris.retrieval import share_of_pool
from medprism.models.iris.tuning import TuningSettings

SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
ONE_SHOT: Final = "one-shot"


def by_task(bench: Bench, task: Task, strategy: Strategy, keep: int = 1) -> Segment:
    """Return the function that segments by a task."""
    return lambda query: segment_by_task(
        bench.loaded, query.image, task, strategy, keep=keep
    ).masks()


def one_shot(bench: Bench) -> Dices:
    """Measure by the first reference of the pool that shows a class, class by class."""
    references = bench.cases.first_references()
    task = encode_task(bench.loaded, references, bench.classes, spacing=bench.spacing)
    return measure(bench.cases, by_task(bench, task, ONE_SHOT))


def strategies(
    bench: Bench, task: Task, references: Sequence[WorkingReference], steps: int
) -> Iterator[tuple[str, Callable[[], Dices]]]:
    """Yield every way of asking with the function that measures it."""

    def by(strategy: Strategy, keep: int = 1) -> Callable[[], Dices]:
        return lambda: measure(bench.cases, by_task(bench, task, strategy, keep))

    keep = share_of_pool(task.pool.num_rows, 0.2)
    yield ONE_SHOT, by("one-shot")
    yield "ensemble", by("ensemble")
    yield "image retrieval, 20 %", by("images", keep)
    yield "object retrieval, 20 %", by("objects", keep)
    yield "bank", lambda: measure(bench.cases, lambda query: _by_bank(bench, query.image))
    yield (
        f"tuned, {steps} steps",
        lambda: measure(bench.cases, _tuned(bench, task, references, steps)),
    )


def _by_bank(bench: Bench, image: Image) -> Masks:
    """Segment by the bank; a class that training never showed is not in the result."""
    masks: Masks = {}
    table = bench.loaded.concepts
    learned = [name for name in bench.classes if name in table.names]
    rows = torch.tensor([[table.row(name) for name in learned]], dtype=torch.int64)
    known = bench.loaded.model.recall(rows).present[0].tolist()
    names = [name for name, is_known in zip(learned, known, strict=True) if is_known]
    for task in tasks_of_bank(bench.loaded, names):
        moved = replace(task, spacing=bench.spacing)
        masks |= segment_by_task(bench.loaded, image, moved).masks()
    return masks


def _tuned(bench: Bench, task: Task, references: Sequence[WorkingReference], steps: int) -> Segment:
    settings = TuningSettings(steps=steps)
    tuned = replace(task, pool=fit_embedding(bench.loaded, task, references, settings).tasks)
    return by_task(bench, tuned, "ensemble")


def part_of(task: Task, share: float, seed: int) -> tuple[Task, list[int]]:
    """Return the task of a drawn share of its references, and which these are."""
    keep = share_of_pool(task.pool.num_rows, share)
    order: list[int] = counter_rng(seed, "pool").permutation(task.pool.num_rows)[:keep].tolist()
    index = torch.tensor(order)
    part = replace(
        task,
        pool=task.pool.select(index),
        described=task.described.index_select(0, index),
        sources=tuple(task.sources[row] for row in order),
    )
    return part, order


def curve(
    bench: Bench, task: Task, references: Sequence[WorkingReference], steps: int, share: float
) -> dict[str, Dices]:
    """Return the strategies at a share of the pool: retrieval chooses it, the others draw it."""
    keep = share_of_pool(task.pool.num_rows, share)
    part, order = part_of(task, share, 1)

    def by(some: Task, strategy: Strategy, kept: int = 1) -> Dices:
        return measure(bench.cases, by_task(bench, some, strategy, kept))

    shown = [references[row] for row in order]
    return {
        "ensemble": by(part, "ensemble"),
        "image retrieval": by(task, "images", keep),
        "object retrieval": by(task, "objects", keep),
        "tuned": measure(bench.cases, _tuned(bench, part, shown, steps)),
    }


def curve_points(rows: dict[str, Any], name: str) -> dict[str, list[tuple[float, float]]]:
    """Return share and mean Dice over classes of every strategy that `curve` measured on a set.

    >>> value = {"tuned": {"liver": 0.5, "spleen": 1.0}}
    >>> curve_points({"ct | share 0.1": {"value": value}, "ct | bank": {}}, "ct")
    {'tuned': [(0.1, 0.75)]}
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for key, row in rows.items():
        where, _, what = key.partition(" | share ")
        if what and where == name:
            for strategy, dices in row["value"].items():
                mean = sum(dices.values()) / len(dices)
                found.setdefault(strategy, []).append((float(what), mean))
    return {strategy: sorted(points) for strategy, points in found.items()}
