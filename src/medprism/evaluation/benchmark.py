"""Benchmark: every set of a store, one after the other; finished sets are never done again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprism.core.concepts import ConceptTable
from medprism.core.durable import make_folder
from medprism.core.errors import CancelledError, ConfigError, StoreError
from medprism.core.progress import Progress, SilentProgress
from medprism.core.randomness import counter_rng
from medprism.data.case import ROLES, SPLITS
from medprism.data.store import SliceStore
from medprism.evaluation.cases import Target, targets_of
from medprism.evaluation.examiners import Examiner
from medprism.evaluation.facts import facts_of
from medprism.evaluation.results import Cell, ResultRow, read_cell, write_cell


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which slices are examined.

    `roles` are those of the sets; a row's own role may differ (`facts.role_of`). `datasets` limits
    the sets by name (none: all of the roles). `limit` is the number of slices
    per set, a seeded choice; a smaller limit chooses a subset of a larger one's slices.
    """

    roles: tuple[str, ...] = ROLES
    split: str = "test"
    datasets: tuple[str, ...] = ()
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        odd = [role for role in self.roles if role not in ROLES]
        if odd or self.split not in SPLITS:
            raise ConfigError(
                f"role {odd[0]!r} must be one of {', '.join(ROLES)}"
                if odd
                else f"split {self.split!r} must be one of {', '.join(SPLITS)}"
            )
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit of {self.limit} slices a set; give at least 1, or none")


def run(
    examiner: Examiner,
    store: SliceStore,
    concepts: ConceptTable,
    plan: Plan,
    out: Path,
    progress: Progress | None = None,
) -> tuple[Cell, ...]:
    """Examine all sets of a plan and return their cells, in the order of the store.

    Each finished set is written to `out` at once. A cell that is there already is read instead,
    if it was made by the same method with the same plan on the same slices.

    Raises:
        LabelError: a dataset of the plan is not in the store.
        StoreError: `out` holds a cell of this method made otherwise, or there is nothing to do.
        CancelledError: the progress asked to stop; finished sets are kept.
    """
    progress = progress or SilentProgress()
    make_folder(out)
    todo = {
        name: numbers
        for name in datasets_of(store, plan)
        if (numbers := choose_slices(store, name, plan))
    }
    if not todo:
        raise StoreError(
            f"the store {store.path} has no {plan.split} slice of the roles "
            f"{', '.join(plan.roles)}; choose another split or role"
        )
    total, done = sum(map(len, todo.values())), 0
    cells = []
    for name, numbers in todo.items():
        path = cell_path(out, examiner.name, name)
        signature = _signature(examiner, store, plan, numbers)
        cell = finished_cell(path, signature)
        if cell is None:
            targets = targets_of(store, name, concepts)
            rows = _examine(examiner, targets, numbers, Offset(progress, done, total, name))
            cell = Cell(facts_of(store, name, plan.split, numbers), examiner.name, signature, rows)
            write_cell(path, cell)
        done += len(numbers)
        progress.report(done, total, name)
        cells.append(cell)
    return tuple(cells)


def read_cells(out: Path) -> tuple[Cell, ...]:
    """Return every cell in a folder, of all methods, in the order of their file names.

    Raises:
        StoreError: there is none.
        FormatVersionError: a file is damaged or of a newer version.
    """
    paths = sorted(out.glob("*--*.json"))
    if not paths:
        raise StoreError(f"{out} holds no results; run an evaluation into it first")
    return tuple(read_cell(path) for path in paths)


def choose_slices(store: SliceStore, dataset: str, plan: Plan) -> tuple[int, ...]:
    """Return the rows of a set that a plan examines, in the order of the store."""
    rows = [
        number
        for number, row in enumerate(store.rows)
        if row.dataset == dataset and row.split == plan.split
    ]
    order = counter_rng(plan.seed, dataset, plan.split, "slices").permutation(len(rows))
    return tuple(sorted(rows[int(i)] for i in order[: plan.limit]))


@dataclass(frozen=True)
class Offset:
    """Progress within one set, shown as progress of the whole work."""

    progress: Progress
    before: int
    total: int
    dataset: str
    work: str = "evaluation"

    def report(self, done: int) -> None:
        """Say how much of the set is done."""
        self.progress.report(self.before + done, self.total, self.dataset)

    def check(self) -> None:
        """Stop where somebody asked to.

        Raises:
            CancelledError: somebody did.
        """
        if self.progress.is_cancelled():
            raise CancelledError(
                f"{self.work} was cancelled in {self.dataset}; finished sets are kept, run it "
                "again to go on"
            )


def _examine(
    examiner: Examiner, targets: Sequence[Target], numbers: Sequence[int], progress: Offset
) -> tuple[ResultRow, ...]:
    rows: list[ResultRow] = []
    for count, number in enumerate(numbers, start=1):
        progress.check()
        rows.extend(examiner.examine(number, targets))
        progress.report(count)
    return tuple(rows)


def datasets_of(store: SliceStore, plan: Plan) -> list[str]:
    """Return the sets of a plan, in the order of the store.

    Raises:
        LabelError: the plan names one that the store does not have.
    """
    for name in plan.datasets:
        store.info(name)
    return [
        name
        for name, info in store.infos.items()
        if info.role in plan.roles and (not plan.datasets or name in plan.datasets)
    ]


def _signature(
    examiner: Examiner, store: SliceStore, plan: Plan, numbers: Sequence[int]
) -> dict[str, Any]:
    sha = hashlib.sha256()
    for number in numbers:
        row = store.rows[number]
        sha.update(f"{row.case_id} {row.content} {row.shape} {sorted(row.areas.items())}".encode())
    return {
        **examiner.identity(),
        "split": plan.split,
        "limit": plan.limit,
        "slice_seed": plan.seed,
        "slices": sha.hexdigest()[:16],
    }


def cell_path(out: Path, method: str, dataset: str) -> Path:
    """Return where the results of a method on a set are."""
    return out / f"{slug(method)}--{slug(dataset)}.json"


def finished_cell(path: Path, signature: dict[str, Any]) -> Cell | None:
    """Return the cell in a file, None where there is none.

    Raises:
        StoreError: its plan is not the signature.
    """
    if not path.exists():
        return None
    cell = read_cell(path)
    if cell.plan != signature:
        differs = [name for name in signature if cell.plan.get(name) != signature[name]]
        raise StoreError(
            f"{path} was made with other settings ({', '.join(differs) or 'fewer'}); evaluate into "
            "another folder, or delete the old results"
        )
    return cell


def slug(name: str) -> str:
    """Return a name as part of a file name.

    >>> slug("Random walker"), slug("kprism@2")
    ('random-walker', 'kprism-2')
    """
    return re.sub(r"[^a-z0-9_]+", "-", name.casefold()).strip("-")
