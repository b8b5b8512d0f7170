"""What a fine-tuning is about: the classes that learn, their masks, and what is rehearsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import ConfigError, LabelError
from medprism.data.diet import choose_diet
from medprism.data.held_out import ClassIds, hold_out, keep_splits
from medprism.data.store import SliceStore
from medprism.data.vocabulary import LabelIds


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A store of data that old classes were learned from, as the new class table names it."""

    store: SliceStore
    concepts: ConceptTable
    partial: Mapping[str, LabelIds]


@dataclass(frozen=True, eq=False)
class Lesson:
    """The masks of a fine-tuning, held-out ones apart, and the class table it leads to.

    `store` has rows in splits `train` and `val`. `concepts` is the class table of the new
    checkpoint: that of the old one with new classes behind it. `taught` are the rows that learn,
    with their label ids in `store`; `labelled` are old classes that the masks show as well.
    """

    store: SliceStore
    concepts: ConceptTable
    num_old: int
    taught: ClassIds
    labelled: ClassIds
    rehearsal: Rehearsal | None = None

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the class table that learn."""
        return tuple(self.concepts.row(name) for name in self.taught)

    @property
    def old_rows(self) -> tuple[int, ...]:
        """The rows that the old checkpoint had and that stay as they are."""
        return tuple(row for row in range(self.num_old) if row not in self.rows)

    def table_of(self, classes: ClassIds) -> ConceptTable:
        """Return the class table with the label ids of some classes in `store`, and no others."""
        return ConceptTable(
            tuple(
                replace(concept, label_ids=dict(classes.get(concept.name, {})))
                for concept in self.concepts.concepts
            )
        )


def plan_lesson(
    store: SliceStore,
    old: ConceptTable,
    wanted: Sequence[str] = (),
    *,
    share: float = 0.25,
    seed: int = 0,
    keeps_splits: bool = False,
    rehearsal: SliceStore | None = None,
) -> Lesson:
    """Return what there is to learn from a store of masks, on top of an old class table.

    Args:
        store: the masks; every set in it counts, whatever its role.
        old: the class table of the checkpoint to begin with.
        wanted: the classes to train, by the names that the store or the old table has for them;
            none: all classes of the store that the old table lacks.
        share: the share of the cases whose masks are held out.
        seed: the seed of that draw.
        keeps_splits: take the splits of the store where `train` and `val` show all classes.
        rehearsal: data of old classes, to learn from and to measure on.

    Raises:
        LabelError: a class that is not in the store.
        ConfigError: too few masks, or nothing new.
    """
    found = _classes_of(store, old)
    taught = _choose(found, old, wanted)
    kept = keep_splits(store, taught) if keeps_splits else None
    known = {concept.name for concept in old.concepts}
    concepts = _grown(old, taught)
    return Lesson(
        store=kept or hold_out(store, taught, share, seed),
        concepts=concepts,
        num_old=len(old),
        taught=taught,
        labelled={n: ids for n, ids in found.items() if n in known and n not in taught},
        rehearsal=None if rehearsal is None else _rehearsal(rehearsal, old, concepts),
    )


def _classes_of(store: SliceStore, old: ConceptTable) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the classes of a store with their label ids, by the old table's name where it has one.

    Classes of the same name in several sets are one.
    """
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for info in store.infos.values():
        for label_id, title in sorted(info.classes.items()):
            ids = found.setdefault(_known_name(old, title) or title, {})
            ids[info.name] = (*ids.get(info.name, ()), label_id)
    return found


def _choose(found: ClassIds, old: ConceptTable, wanted: Sequence[str]) -> ClassIds:
    listed = ", ".join(found) or "none"
    if not wanted:
        new = {name: ids for name, ids in found.items() if _known_name(old, name) is None}
        if not new:
            raise ConfigError(
                f"the model knows all classes of these masks already ({listed}); name with "
                "--classes those to train all the same"
            )
        return new
    by_name = ConceptTable(tuple(Concept(name) for name in found))
    chosen: dict[str, Mapping[str, tuple[int, ...]]] = {}
    for name in wanted:
        try:
            own = by_name.names[by_name.row(_known_name(old, name) or name)]
        except LabelError as error:
            raise LabelError(f"no mask is of class {name!r}; there is {listed}") from error
        chosen[own] = found[own]
    return chosen


def _grown(old: ConceptTable, taught: ClassIds) -> ConceptTable:
    """Return the old table with new classes behind it; taught classes get their label ids."""
    concepts = [
        replace(one, label_ids={**one.label_ids, **taught.get(one.name, {})})
        for one in old.concepts
    ]
    known = set(old.names)
    new = [Concept(name, (), dict(ids)) for name, ids in taught.items() if name not in known]
    return ConceptTable((*concepts, *new))


def _rehearsal(store: SliceStore, old: ConceptTable, concepts: ConceptTable) -> Rehearsal:
    diet = choose_diet(store, (), _bare(old))
    ids = {one.name: one.label_ids for one in diet.concepts.concepts}
    # Classes of the store that the old table lacks are neither learned nor measured.
    table = ConceptTable(
        tuple(replace(one, label_ids=dict(ids.get(one.name, {}))) for one in concepts.concepts)
    )
    known = set(old.names)
    partial = {name: sets for name, sets in diet.partial.items() if name in known}
    return Rehearsal(diet.store, table, partial)


def _bare(table: ConceptTable) -> ConceptTable:
    return ConceptTable(tuple(replace(one, label_ids={}) for one in table.concepts))


def _known_name(table: ConceptTable, name: str) -> str | None:
    try:
        return table.names[table.row(name)]
    except LabelError:
        return None
