"""Which tasks a run of TP-Seg learns: concepts of a store, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import ConfigError, StoreError
from medprism.data.diet import Diet
from medprism.data.pools import build_pools
from medprism.data.store import SliceStore
from medprism.data.vocabulary import LabelIds


@dataclass(frozen=True)
class TaskChoice:
    """The class table of a run, the label ids that are not exhaustive, and its training sets."""

    concepts: ConceptTable
    partial: Mapping[str, LabelIds]
    sets: tuple[str, ...]


def choose_tasks(diet: Diet, tasks: Sequence[str], start: ConceptTable | None) -> TaskChoice:
    """Return the tasks of a run: those named, or all that the sets show.

    The rows of `start`, the tasks of a checkpoint to begin with, come first and stay; those among
    them that are not asked for learn nothing from this store.

    Raises:
        LabelError: a name that no set has; near ones are listed.
        StoreError: a task without a training image.
    """
    table = diet.concepts
    asked = {table.row(name) for name in tasks} if tasks else set(range(len(table)))
    old = 0 if start is None else len(start)
    rows = [row for row in range(len(table)) if row < old or row in asked]
    concepts = ConceptTable(
        tuple(table[row] if row in asked else _unasked(table[row]) for row in rows)
    )
    partial = {
        name: ids for name, ids in diet.partial.items() if tasks == () or table.row(name) in asked
    }
    new = [table[row].name for row in sorted(asked) if row >= old]
    _check_images(diet.store, concepts, partial, new)
    used = {name for concept in concepts.concepts for name in concept.label_ids}
    used |= {name for ids in partial.values() for name in ids}
    sets = tuple(info.name for info in diet.infos if info.name in used)
    return TaskChoice(concepts, partial, sets)


def choose_added(diet: Diet, added: Sequence[str], start: ConceptTable) -> TaskChoice:
    """Return the tasks of a run that adds some to those of a checkpoint, and learns nothing else.

    Raises:
        LabelError: a name that no set has; near ones are listed.
        ConfigError: a task that the checkpoint has already.
        StoreError: a task without a training image.
    """
    for name in added:
        if diet.concepts.row(name) < len(start):
            known = diet.concepts[diet.concepts.row(name)].name
            raise ConfigError(
                f"{name!r} is a task of the checkpoint already ({known}); go on training it "
                "without --add-task, or add another one"
            )
    return choose_tasks(diet, tuple(added), start)


def describe_tasks(
    store: SliceStore,
    concepts: ConceptTable,
    partial: Mapping[str, LabelIds],
    before: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return what a checkpoint says about each task, in the order of the class table.

    `modalities` are the codes of its training images, where known; `colours` says whether they are
    grey or colour; `images` is their number. `before` is what the checkpoint that the run began
    with says.
    """
    known = {str(entry.get("name")): dict(entry) for entry in before}
    pools = build_pools(store, concepts, partial, "train")
    entries = []
    for concept, own in zip(concepts.concepts, pools.by_concept, strict=True):
        rows = [store.rows[int(number)] for pool in own for number in pool.rows]
        former = known.get(concept.name, {"modalities": [], "colours": [], "images": 0})
        codes = {row.modality for row in rows if row.modality is not None}
        colours = {"colour" if row.shape[2] == 3 else "grey" for row in rows}
        entries.append(
            {
                "name": concept.name,
                "modalities": sorted(codes | set(former["modalities"])),
                "colours": sorted(colours | set(former["colours"])),
                "images": len(rows) + int(former["images"]),
            }
        )
    return entries


def _unasked(concept: Concept) -> Concept:
    return Concept(concept.name, concept.synonyms, {})


def _check_images(
    store: SliceStore,
    concepts: ConceptTable,
    partial: Mapping[str, LabelIds],
    names: Sequence[str],
) -> None:
    pools = build_pools(store, concepts, partial, "train")
    for name in names:
        own = pools.by_concept[concepts.row(name)]
        if not any(pool.rows.size for pool in own):
            raise StoreError(
                f"task {name!r} has no training image in the store {store.path}; choose other "
                "tasks (--tasks), or correct the split of its set"
            )
