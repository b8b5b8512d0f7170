"""Masks of a model beside the truth: pixels of every image, from which all figures are made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.lesions.tasks import Pair
from medprism.core.concepts import ConceptTable
from medprism.core.preprocess import lift
from medprism.core.prompt import Mask2d
from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.inference.decoding import Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.metrics.overlap import Overlap, count_overlap


@dataclass(frozen=True)
class Counted:
    """One answer on one image: pixels of the mask, of the truth, of both, of the image.

    `asked` is the task that the model was asked for, `task` the one whose truth it is beside.
    """

    task: str
    asked: str
    dataset: str
    case: str
    patient: str
    mask: int
    reference: int
    common: int
    pixels: int

    @property
    def overlap(self) -> Overlap:
        """The counts without the size of the image."""
        return Overlap(mask=self.mask, reference=self.reference, common=self.common)

    def to_json(self) -> list[Any]:
        """Return the row as a short list."""
        return [*vars(self).values()]


class Asker:
    """Segments pictures by the names of tasks."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        # Nothing but the canvas is kept of a picture, and no picture comes twice.
        self._encoder = Encoder(model, EncodingCache(0))

    def masks(self, reader: StoreReader, number: int, tasks: tuple[str, ...]) -> list[Mask2d]:
        """Return the mask of every task on the grid of a row's picture."""
        view = View(reader.image(number), 0)
        rows = [self.model.concepts.row(task) for task in tasks]
        requests = [Request(view, concept=row) for row in rows]
        answers = decode(self.model.segmenter, self._encoder, requests)
        fit = self._encoder.fit(view)
        return [np.asarray(lift(answer, fit) >= 0.5) for answer in answers]


def sets_with(
    store: SliceStore, concepts: ConceptTable, role: str
) -> Iterator[tuple[str, tuple[Target, ...]]]:
    """Yield the sets of a role that label any of the tasks on `test` images, with these targets."""
    names = set(concepts.names)
    for dataset, info in store.infos.items():
        if info.role == role:
            targets = tuple(
                target
                for target in targets_of(store, dataset, concepts)
                if target.concept in names and _test_rows(store, dataset, target)
            )
            if targets:
                yield dataset, targets


# Takes a reader of the store, a row's number and names of tasks.
Masks = Callable[[StoreReader, int, tuple[str, ...]], list[Mask2d]]


def count_set(
    ask: Masks, store: SliceStore, targets: Sequence[Target], limit: int | None = None
) -> list[Counted]:
    """Ask for every task that a `test` image of a set shows, and count.

    `limit` is the number of images a task, a seeded choice.
    """
    reader = StoreReader(store)
    asked: dict[int, list[Target]] = {}
    for target in targets:
        rows = _test_rows(store, target.dataset, target)
        order = counter_rng(0, target.dataset, target.concept, "images").permutation(len(rows))
        for place in order[:limit]:
            asked.setdefault(rows[int(place)], []).append(target)
    found = []
    for number, shown in sorted(asked.items()):
        masks = ask(reader, number, tuple(target.concept for target in shown))
        for target, mask in zip(shown, masks, strict=True):
            truth = reader.truth(number, target)
            found.append(_count(store, number, (target.concept, target.concept), mask, truth))
    return found


def count_wrong(asker: Asker, store: SliceStore, pair: Pair, split: str = "test") -> list[Counted]:
    """Ask for both tasks of a pair on the images that show both; count each beside both truths."""
    reader, found = StoreReader(store), []
    for number, truths in _images_with_both(store, asker.model.concepts, pair, split):
        masks = asker.masks(reader, number, pair.tasks)
        for asked, mask in zip(pair.tasks, masks, strict=True):
            for task, truth in truths.items():
                found.append(_count(store, number, (task, asked), mask, truth))
    return found


def _images_with_both(
    store: SliceStore, concepts: ConceptTable, pair: Pair, split: str
) -> list[tuple[int, dict[str, Mask2d]]]:
    """Return a row of every picture that shows both tasks, and both masks.

    One picture may be in two sets, each with the mask of one task: pictures are known by their
    pixels.
    """
    known: dict[str, tuple[int, dict[str, Mask2d]]] = {}
    wanted = [
        target
        for dataset in pair.datasets
        if dataset in store.infos
        for target in targets_of(store, dataset, concepts)
        if target.concept in pair.tasks
    ]
    for number, row in enumerate(store.rows):
        if row.split != split:
            continue
        for target in wanted:
            if target.dataset == row.dataset and target.is_shown(row):
                pixels = hashlib.sha256(store.image(number).tobytes()).hexdigest()
                _, truths = known.setdefault(pixels, (number, {}))
                truths[target.concept] = store.plane(number, target.label_ids)
    return [one for one in known.values() if len(one[1]) == len(pair.tasks)]


def _test_rows(store: SliceStore, dataset: str, target: Target) -> list[int]:
    return [
        number
        for number, row in enumerate(store.rows)
        if row.dataset == dataset and row.split == "test" and target.is_shown(row)
    ]


def _count(
    store: SliceStore, number: int, names: tuple[str, str], mask: Mask2d, truth: Mask2d
) -> Counted:
    row, counts = store.rows[number], count_overlap(mask, truth)
    task, asked = names
    return Counted(
        task=task,
        asked=asked,
        dataset=row.dataset,
        case=row.case_id if row.slice_index is None else f"{row.case_id} {row.slice_index}",
        patient=row.patient or row.case_id,
        mask=counts.mask,
        reference=counts.reference,
        common=counts.common,
        pixels=int(mask.size),
    )
