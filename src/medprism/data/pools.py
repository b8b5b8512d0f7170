"""Which rows of a store can serve which concept: the tables that episodes are drawn from."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from medprism.core.concepts import ConceptTable
from medprism.core.errors import StoreError
from medprism.data.store import SliceStore
from medprism.data.vocabulary import LabelIds

Rows = Int64[np.ndarray, "_"]
"""Row numbers (or codes of rows); lists of them have different lengths."""

_PoolRows = Int64[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows of one dataset that show one concept, and those where it is known to be absent.

    `patients`, `contents` and `views` are codes per row of `rows`; an unknown patient is a patient
    of its own. `positions` is NaN where unknown. `absent` is empty unless the dataset labels the
    concept exhaustively.
    """

    concept: int
    dataset: str
    label_ids: tuple[int, ...]
    rows: _PoolRows
    patients: _PoolRows
    contents: _PoolRows
    views: _PoolRows
    positions: Float64[np.ndarray, " rows"]
    absent: Rows


@dataclass(frozen=True, eq=False)
class Pools:
    """All pools of a split: by concept, and by (row, concept)."""

    by_concept: tuple[tuple[Pool, ...], ...]
    by_row: Mapping[int, tuple[Pool, ...]]
    absent_by_row: Mapping[int, tuple[Pool, ...]]
    rows: Rows


def build_pools(
    store: SliceStore,
    concepts: ConceptTable,
    partial: Mapping[str, LabelIds],
    split: str,
    role: str = "train",
) -> Pools:
    """Sort the rows of a role and split into pools.

    Raises:
        StoreError: no row of the split shows any of the concepts.
    """
    rows_of: dict[str, list[int]] = {}
    for number, row in enumerate(store.rows):
        if row.split == split and row.role == role:
            rows_of.setdefault(row.dataset, []).append(number)
    codes = _Codes(store)
    by_concept: list[tuple[Pool, ...]] = []
    for index, concept in enumerate(concepts.concepts):
        sources = [(name, ids, True) for name, ids in concept.label_ids.items()]
        sources += [(name, ids, False) for name, ids in partial.get(concept.name, {}).items()]
        pools = [
            codes.pool(index, name, ids, rows_of[name], is_exhaustive)
            for name, ids, is_exhaustive in sources
            if name in rows_of
        ]
        by_concept.append(tuple(pool for pool in pools if pool.rows.size or pool.absent.size))
    if not any(pool.rows.size for pools in by_concept for pool in pools):
        raise StoreError(
            f"the store {store.path} has no {split} slice of role {role} that shows any of the "
            f"{len(concepts)} concepts; check the concept table and the store's datasets"
        )
    all_rows = np.array(sorted(n for rows in rows_of.values() for n in rows), np.int64)
    flat = [pool for pools in by_concept for pool in pools]
    return Pools(
        tuple(by_concept),
        _by_row((int(n), pool) for pool in flat for n in pool.rows),
        _by_row((int(n), pool) for pool in flat for n in pool.absent),
        all_rows,
    )


def _by_row(pairs: Iterable[tuple[int, Pool]]) -> dict[int, tuple[Pool, ...]]:
    found: dict[int, list[Pool]] = {}
    for number, pool in pairs:
        found.setdefault(number, []).append(pool)
    return {number: tuple(pools) for number, pools in found.items()}


class _Codes:
    """Numbers for patients, contents and views, the same for all pools of a store."""

    def __init__(self, store: SliceStore) -> None:
        self._store = store
        patients = [(r.dataset, r.patient or f"\0{n}") for n, r in enumerate(store.rows)]
        self._patients = _code(patients)
        self._contents = _code([row.content for row in store.rows])
        self._views = _code([row.view or "" for row in store.rows])

    def pool(
        self,
        concept: int,
        dataset: str,
        label_ids: tuple[int, ...],
        candidates: list[int],
        is_exhaustive: bool,
    ) -> Pool:
        wanted = set(label_ids)
        shows = [bool(wanted & set(self._store.rows[n].areas)) for n in candidates]
        rows = np.array([n for n, is_here in zip(candidates, shows, strict=True) if is_here], int)
        rest = [n for n, is_here in zip(candidates, shows, strict=True) if not is_here]
        positions = [self._store.rows[n].relative_position for n in rows]
        return Pool(
            concept=concept,
            dataset=dataset,
            label_ids=label_ids,
            rows=rows.astype(np.int64),
            patients=self._patients[rows],
            contents=self._contents[rows],
            views=self._views[rows],
            positions=np.array([np.nan if p is None else p for p in positions], np.float64),
            absent=np.array(rest if is_exhaustive else [], np.int64),
        )


def _code(values: Sequence[Hashable]) -> Rows:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)
