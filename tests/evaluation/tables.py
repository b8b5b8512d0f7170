"""Made-up benchmark cells: rows with random Dice, unequal classes, patients and lengths."""

from __future__ import annotations

from dataclasses import replace

from medprism.core.randomness import counter_rng
from medprism.evaluation.facts import DatasetFacts
from medprism.evaluation.results import Cell, ResultRow
from medprism.metrics.overlap import Overlap

PLAN = {"clicks": 10, "refine_clicks": 3, "weights": "0123456789abcdef", "slices": "x"}


def make_row(dataset: str = "set", **changes: object) -> ResultRow:
    row = ResultRow(
        dataset=dataset,
        role="train",
        split="test",
        case="case",
        patient="p",
        volume=None,
        concept="liver",
        method="ours",
        protocol="semantic",
        values=(0.5,),
        overlap=Overlap(10, 10, 5),
        presence=0.7,
        milliseconds=20.0,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def make_cell(
    dataset: str,
    *,
    role: str = "train",
    method: str = "ours",
    num_images: int = 30,
    knows_patients: bool = True,
    seed: int = 0,
    protocols: tuple[str, ...] = ("semantic", "one-shot", "interactive", "refine-semantic"),
) -> Cell:
    """Return a cell of 12 cases of 5 patients with two or three classes."""
    rng = counter_rng(seed, dataset, method)
    rows = []
    for number in range(12):
        for concept in ("liver", "kidney", "cyst")[: 2 + number % 2]:
            for protocol in protocols:
                lengths = {"interactive": int(rng.integers(1, 11)), "refine-semantic": 4}
                values = tuple(sorted(rng.random(lengths.get(protocol, 1)).tolist()))
                rows.append(
                    make_row(
                        dataset,
                        role=role,
                        case=f"c{number}",
                        patient=f"p{number % 5}",
                        concept=concept,
                        method=method,
                        protocol=protocol,
                        values=values,
                        presence=float(rng.random()),
                    )
                )
    facts = DatasetFacts(
        dataset, dataset.title(), role, "test", "CT", num_images, 12, 5, knows_patients
    )
    return Cell(facts, method, dict(PLAN), tuple(rows))
