"""Which cases of a bench are shown as pictures: of every set the median one, and the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from medprism.core.errors import ConfigError
from medprism.evaluation.bench.tables import REFERENCE
from medprism.evaluation.protocols import INTERACTIVE, ONE_SHOT, SEMANTIC
from medprism.evaluation.results import Cell, ResultRow
from medprism.metrics.interactive import dice_at

# As in the paper's figures 6 to 8 [KPrism]: by class, by one reference, by clicks.
SHOWN: Final = {SEMANTIC: "by class", ONE_SHOT: "by reference", INTERACTIVE: "by clicks"}
# As many clicks are shown, where a system was given as many.
CLICKS: Final = 5

RULE: Final = (
    "Of every set and way of asking, the median and the worst (slice, class) pairs by Dice of "
    f"K-Prism ({CLICKS} clicks at most), or of the first system where K-Prism was not examined; of "
    "an even number the lower median; ties by name."
)


@dataclass(frozen=True)
class ShownCase:
    """A (slice, class) pair that is shown, and by which system's Dice it was chosen.

    `why` is "median", or "worst 1", "worst 2" and so on.
    """

    dataset: str
    protocol: str
    case: str
    concept: str
    why: str
    by: str
    dice: float


def choose_cases(cells: Sequence[Cell], count: int) -> tuple[ShownCase, ...]:
    """Return `count` cases of each set and way of asking by `RULE`, fewer where there are fewer.

    Sets stand in the order of the cells, the ways in that of `SHOWN`.

    Raises:
        ConfigError: fewer than one case.
    """
    if count < 1:
        raise ConfigError(f"{count} cases of a set; show at least 1, which is the median one")
    datasets = dict.fromkeys(cell.facts.dataset for cell in cells)
    return tuple(
        case
        for dataset in datasets
        for protocol in SHOWN
        for case in _of_set([one for one in cells if one.facts.dataset == dataset], protocol, count)
    )


def shown_dice(row: ResultRow) -> float:
    """Return the Dice of the mask that is shown of a row: the last one, or that after `CLICKS`."""
    return dice_at(row.values, CLICKS) if row.protocol == INTERACTIVE else row.values[-1]


def _of_set(cells: Sequence[Cell], protocol: str, count: int) -> Iterator[ShownCase]:
    asked = {
        cell.method: rows
        for cell in cells
        if (rows := [row for row in cell.rows if row.protocol == protocol])
    }
    if not asked:
        return
    by = REFERENCE if REFERENCE in asked else min(asked)
    rows = sorted(asked[by], key=lambda row: (shown_dice(row), row.case, row.concept))
    median = rows[(len(rows) - 1) // 2]
    worst = [row for row in rows if row is not median][: count - 1]
    for why, row in (
        ("median", median),
        *((f"worst {place}", row) for place, row in enumerate(worst, start=1)),
    ):
        yield ShownCase(
            dataset=row.dataset,
            protocol=protocol,
            case=row.case,
            concept=row.concept,
            why=why,
            by=by,
            dice=shown_dice(row),
        )
