"""One fixed reference for each (dataset, concept): drawn once from a seed, never the query."""

from __future__ import annotations

from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.evaluation.cases import Target


class FixedReferences:
    """The example that one-shot protocols show.

    Drawn uniformly among the `train` slices of the query's own dataset that show the concept; of a
    set without a train split, among all its slices. A set cut in several views has one reference
    for each view. A query of the reference's own patient (or the same picture elsewhere) gets the
    next of the seeded order instead.
    """

    rule = (
        "one reference per (dataset, class, view), drawn uniformly with a fixed seed from `train`, "
        "or from the set itself where it has no `train`; never the query's patient or picture"
    )

    def __init__(self, store: SliceStore, seed: int = 0) -> None:
        self._store = store
        self._seed = seed
        self._orders: dict[Target, tuple[int, ...]] = {}
        self._by_dataset: dict[str, list[int]] = {}
        for number, row in enumerate(store.rows):
            self._by_dataset.setdefault(row.dataset, []).append(number)

    def choose(self, number: int, target: Target) -> int | None:
        """Return the row that serves as reference for a row, None where there is no other."""
        query = self._store.rows[number]
        allowed = [
            other
            for other in self._order(target)
            if other != number
            and self._store.rows[other].content != query.content
            and (query.patient is None or self._store.rows[other].patient != query.patient)
        ]
        same_view = [other for other in allowed if self._store.rows[other].view == query.view]
        return next(iter(same_view or allowed), None)

    def _order(self, target: Target) -> tuple[int, ...]:
        if target not in self._orders:
            rows = self._by_dataset.get(target.dataset, [])
            train = [n for n in rows if self._store.rows[n].split == "train"]
            shown = [n for n in train or rows if target.is_shown(self._store.rows[n])]
            rng = counter_rng(self._seed, target.dataset, target.concept, "reference")
            self._orders[target] = tuple(shown[int(i)] for i in rng.permutation(len(shown)))
        return self._orders[target]
