"""What a run learns from: the sets of a store it may use, and the class table they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import LabelError, StoreError
from medprism.data.case import DatasetInfo
from medprism.data.licence import licence_kind
from medprism.data.store import SliceStore
from medprism.data.vocabulary import (
    PARTIAL_LABELS,
    LabelIds,
    known_datasets,
    published_concepts,
    training_concepts,
)


@dataclass(frozen=True)
class Diet:
    """The training sets of a run, their class table, and the labels that are not exhaustive.

    `store` holds nothing but the rows of these sets. `partial` maps a concept to label ids per
    set, as `vocabulary.PARTIAL_LABELS` does.
    """

    store: SliceStore
    infos: tuple[DatasetInfo, ...]
    concepts: ConceptTable
    partial: Mapping[str, LabelIds]


def choose_diet(
    store: SliceStore, licences: Sequence[str] = (), start: ConceptTable | None = None
) -> Diet:
    """Return what a run on a store learns from.

    Sets of the shared vocabulary and published sets give its concepts, classes of other sets stand
    for themselves; the same name (or a synonym) is the same concept. `licences` limits the sets by
    kind (see `licence_kind`). The rows of `start`, the table of a checkpoint to begin with, come
    first.

    Raises:
        StoreError: no training set is left.

    The shared sets together give `training_concepts()`, row by row.
    """
    infos = tuple(
        info
        for info in store.infos.values()
        if info.role == "train" and (not licences or licence_kind(info) in licences)
    )
    if not infos:
        kinds = sorted({licence_kind(i) for i in store.infos.values() if i.role == "train"})
        raise StoreError(
            f"the store {store.path} has no training set"
            + (f" with licence {', '.join(licences)}; it has {', '.join(kinds)}" if kinds else "")
        )
    concepts, partial = table_of(infos, start)
    return Diet(store.only({info.name for info in infos}), infos, concepts, partial)


def table_of(
    infos: Sequence[DatasetInfo], start: ConceptTable | None = None
) -> tuple[ConceptTable, Mapping[str, LabelIds]]:
    """Return the class table that training sets make, and the labels that are not exhaustive.

    >>> info = DatasetInfo("mine", "mine", "train", None, {1: "polyp", 2: "my structure"})
    >>> table_of([info])[0].names
    ('polyp', 'my structure')
    """
    names = {info.name for info in infos}
    table = _Growing(start)
    partial: dict[str, LabelIds] = {}
    for concept in training_concepts().concepts:
        exhaustive = {n: ids for n, ids in concept.label_ids.items() if n in names}
        rest = {n: ids for n, ids in PARTIAL_LABELS.get(concept.name, {}).items() if n in names}
        if exhaustive or rest:
            canonical = table.add(concept.name, concept.synonyms, exhaustive)
            if rest:
                partial[canonical] = rest
    for concept in _own_concepts(infos):
        table.add(concept.name, concept.synonyms, concept.label_ids)
    return table.finish(), partial


def _own_concepts(infos: Sequence[DatasetInfo]) -> Iterator[Concept]:
    """Yield the concepts of published sets, and the classes of sets that nobody knows."""
    known = set(known_datasets())
    for info in infos:
        if info.name not in known:
            yield from published_concepts(info) or (
                Concept(name, (), {info.name: (label_id,)})
                for label_id, name in sorted(info.classes.items())
            )


class _Growing:
    """A class table that gains rows and label ids."""

    def __init__(self, start: ConceptTable | None) -> None:
        self._concepts = list(start.concepts) if start is not None else []

    def add(self, name: str, synonyms: tuple[str, ...], label_ids: LabelIds) -> str:
        """Add label ids to a concept, or a new one; return the name it has in the table."""
        row = self._row(name)
        if row is None:
            self._concepts.append(Concept(name, synonyms, dict(label_ids)))
            return name
        former = self._concepts[row]
        merged = {
            dataset: tuple(dict.fromkeys((*former.label_ids.get(dataset, ()), *ids)))
            for dataset, ids in label_ids.items()
        }
        self._concepts[row] = Concept(former.name, former.synonyms, {**former.label_ids, **merged})
        return former.name

    def finish(self) -> ConceptTable:
        """Return the table."""
        return ConceptTable(tuple(self._concepts))

    def _row(self, name: str) -> int | None:
        try:
            return self.finish().row(name)
        except LabelError:
            return None
