"""From rows to figures: by class, by set, headline; always with n and the rule of the average."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from medprism.evaluation.facts import DatasetFacts
from medprism.evaluation.intervals import Score, macro_interval
from medprism.evaluation.measures import FAILURES, MEASURES, rows_for
from medprism.evaluation.protocols import ABSENT, SEMANTIC
from medprism.evaluation.results import Cell, ResultRow
from medprism.metrics.dice import dice_of_counts
from medprism.metrics.overlap import Overlap
from medprism.metrics.presence import presence_auc

HEADLINE_IMAGES: Final = 20
MIN_VOLUME_SLICES: Final = 3

HEADLINE, SMALL, UNKNOWN = "headline", "small", "patients unknown"

RULES: Final = {
    "set": "mean over the set's classes of the mean over that class's (slice, class) pairs",
    "classes": f"mean over the (set, class) pairs of sets with known patients and at least "
    f"{HEADLINE_IMAGES} images in the split",
    "sets": f"mean over sets with known patients and at least {HEADLINE_IMAGES} images in the "
    "split of each set's own mean over classes",
    "all": "mean over the (set, class) pairs of all sets, small ones and those with unknown "
    "patients included",
    "interval": "95 % percentile bootstrap over patients within each set (1000 resamples)",
    "volume": "Dice of all slices at hand of a volume taken together (at least 3), slices without "
    "the class included where the set labels it exhaustively; mean over classes of the mean over "
    "volumes",
}


@dataclass(frozen=True)
class Average:
    """A mean, its interval and what it is over."""

    value: float
    low: float | None
    high: float | None
    num_sets: int
    num_classes: int
    num_pairs: int
    num_patients: int


@dataclass(frozen=True)
class SetSummary:
    """All figures of one method on one set; `num_failed` counts the pairs behind failed shares."""

    facts: DatasetFacts
    method: str
    block: str
    figures: dict[str, Average]
    by_class: dict[str, dict[str, Average]]
    volume_dice: float | None
    num_volumes: int
    presence_auc: float | None
    num_failed: dict[str, int]


def block_of(facts: DatasetFacts) -> str:
    """Return which part of a report a set belongs to."""
    if not facts.knows_patients:
        return UNKNOWN
    return HEADLINE if facts.num_images >= HEADLINE_IMAGES else SMALL


def average(name: str, rows: Sequence[ResultRow], *, over_sets: bool = False) -> Average | None:
    """Return a measure's macro average over rows of its protocol; None without rows."""
    if not rows:
        return None
    measure = MEASURES[name]
    scores = [Score(row.dataset, row.concept, row.unit, measure.of(row)) for row in rows]
    interval = macro_interval(scores, over_sets=over_sets)
    return Average(
        value=interval.mean,
        low=interval.low,
        high=interval.high,
        num_sets=len({score.dataset for score in scores}),
        num_classes=len({(score.dataset, score.concept) for score in scores}),
        num_pairs=len(scores),
        num_patients=len({(score.dataset, score.patient) for score in scores}),
    )


def summarise(cell: Cell) -> SetSummary:
    """Return all figures of a cell."""
    classes: dict[str, list[ResultRow]] = {}
    for row in cell.rows:
        classes.setdefault(row.concept, []).append(row)
    volume_dice, num_volumes = _volume_dice(cell.rows)
    return SetSummary(
        facts=cell.facts,
        method=cell.method,
        block=block_of(cell.facts),
        figures=_figures(cell, cell.rows),
        by_class={concept: _figures(cell, rows) for concept, rows in classes.items()},
        volume_dice=volume_dice,
        num_volumes=num_volumes,
        presence_auc=_presence_auc(cell.rows),
        num_failed=_num_failed(cell),
    )


def pooled(name: str, cells: Iterable[Cell], *, over_sets: bool = False) -> Average | None:
    """Return a measure's macro average over several cells of one method."""
    rows = [row for cell in cells for row in rows_for(name, cell.rows, cell.plan)]
    return average(name, rows, over_sets=over_sets)


def _figures(cell: Cell, rows: Sequence[ResultRow]) -> dict[str, Average]:
    found = {name: average(name, rows_for(name, rows, cell.plan)) for name in MEASURES}
    return {name: figure for name, figure in found.items() if figure is not None}


def _num_failed(cell: Cell) -> dict[str, int]:
    rows = {name: rows_for(name, cell.rows, cell.plan) for name in FAILURES}
    return {
        name: sum(MEASURES[name].of(row) == 1.0 for row in own) for name, own in rows.items() if own
    }


def _volume_dice(rows: Sequence[ResultRow]) -> tuple[float | None, int]:
    """Return Dice per volume, macro over classes, and the number of volumes."""
    counts: dict[tuple[str, str], list[Overlap]] = {}
    for row in rows:
        if row.protocol in (SEMANTIC, ABSENT) and row.volume is not None:
            counts.setdefault((row.concept, row.volume), []).append(row.overlap)
    by_class: dict[str, list[float]] = {}
    volumes = set()
    for (concept, volume), slices in counts.items():
        whole = Overlap(
            mask=sum(one.mask for one in slices),
            reference=sum(one.reference for one in slices),
            common=sum(one.common for one in slices),
        )
        if len(slices) >= MIN_VOLUME_SLICES and whole.reference:
            by_class.setdefault(concept, []).append(dice_of_counts(whole))
            volumes.add(volume)
    if not by_class:
        return None, 0
    means = [sum(values) / len(values) for values in by_class.values()]
    return sum(means) / len(means), len(volumes)


def _presence_auc(rows: Sequence[ResultRow]) -> float | None:
    """Return the mean over classes of the area under the curve of present against absent."""
    by_class: dict[str, tuple[list[float], list[bool]]] = {}
    for row in rows:
        if row.protocol in (SEMANTIC, ABSENT) and row.presence is not None:
            scores, answers = by_class.setdefault(row.concept, ([], []))
            scores.append(row.presence)
            answers.append(row.protocol == SEMANTIC)
    areas = [
        presence_auc(scores, answers)
        for scores, answers in by_class.values()
        if any(answers) and not all(answers)
    ]
    return sum(areas) / len(areas) if areas else None
