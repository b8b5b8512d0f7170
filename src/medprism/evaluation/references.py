"""Fixed references for each (dataset, concept): drawn once from a seed, never the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.evaluation.cases import Target
from medprism.evaluation.results import volume_of


class FixedReferences:
    """The examples that protocols show.

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
        return next(iter(self._allowed(number, target)), None)

    def several(self, number: int, target: Target, count: int) -> tuple[int, ...]:
        """Return up to `count` references of different pictures, as many as there are.

        The first is that of `choose`, and more extend fewer. In the seeded order every other
        patient gives one picture before any gives a second; pictures of unknown patients count as
        those of different ones.
        """
        rows = self._store.rows
        turns: dict[str, int] = {}
        seen: set[str] = set()
        ranked: list[tuple[int, int]] = []
        for other in self._allowed(number, target):
            patient, content = rows[other].patient, rows[other].content
            if content in seen:
                continue
            seen.add(content)
            turn = 0 if patient is None else turns.get(patient, 0)
            if patient is not None:
                turns[patient] = turn + 1
            ranked.append((turn, other))
        ranked.sort(key=lambda one: one[0])
        return tuple(other for _, other in ranked[:count])

    def at_positions(
        self, number: int, target: Target, positions: Mapping[int, Sequence[float]]
    ) -> dict[int, tuple[int, ...]]:
        """Return slices of one other volume at relative positions, for each number of shots.

        A position runs from 0 to 1 through the slices of the volume that show the structure; the
        nearest of them is taken (the lower of two), none twice, so that there may be fewer than
        positions. The volume is the one with most slices at the positions, of several the first of
        the seeded order. Empty where there is no other volume.
        """
        own = volume_of(self._store.rows[number])
        volumes: dict[str, dict[int, int]] = {}
        for other in self._allowed(number, target):
            row = self._store.rows[other]
            volume = volume_of(row)
            if volume is not None and row.slice_index is not None and volume != own:
                volumes.setdefault(volume, {}).setdefault(row.slice_index, other)
        chosen = [
            {shots: nearest_slices(slices, wanted) for shots, wanted in positions.items()}
            for slices in volumes.values()
        ]
        return max(chosen, key=lambda one: sum(map(len, one.values())), default={})

    def _allowed(self, number: int, target: Target) -> list[int]:
        """Return all rows that may serve a row as reference, in the seeded order."""
        query = self._store.rows[number]
        allowed = [
            other
            for other in self._order(target)
            if other != number
            and self._store.rows[other].content != query.content
            and (query.patient is None or self._store.rows[other].patient != query.patient)
        ]
        same_view = [other for other in allowed if self._store.rows[other].view == query.view]
        return same_view or allowed

    def _order(self, target: Target) -> tuple[int, ...]:
        if target not in self._orders:
            rows = self._by_dataset.get(target.dataset, [])
            train = [n for n in rows if self._store.rows[n].split == "train"]
            shown = [n for n in train or rows if target.is_shown(self._store.rows[n])]
            rng = counter_rng(self._seed, target.dataset, target.concept, "reference")
            self._orders[target] = tuple(shown[int(i)] for i in rng.permutation(len(shown)))
        return self._orders[target]


def nearest_slices(slices: Mapping[int, int], positions: Sequence[float]) -> tuple[int, ...]:
    """Return the values (by slice number) nearest to positions in their extent, each once.

    >>> nearest_slices({4: 104, 6: 106, 9: 109}, (0.1, 0.5, 0.6, 1.0))
    (104, 106, 109)
    """
    low, high = min(slices), max(slices)
    wanted = [low + position * (high - low) for position in positions]
    nearest = [min(sorted(slices), key=lambda index: abs(index - place)) for place in wanted]
    return tuple(slices[index] for index in dict.fromkeys(nearest))
