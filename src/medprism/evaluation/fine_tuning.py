"""Measure a fine-tuning: the new classes and the old ones, before and after, on held-out masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CancelledError
from medprism.core.preprocess import lift
from medprism.core.progress import Progress
from medprism.core.prompt import Mask2d
from medprism.core.randomness import counter_rng
from medprism.data.held_out import ClassIds
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.cases import StoreReader, Target
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.validation import (
    Pair,
    ValidationConfig,
    as_example,
    choose_pairs,
    dices,
    load_pair,
)
from medprism.inference.decoding import Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.metrics.dice import dice
from medprism.training.lesson import Lesson

# Held-out masks that are measured at most, of each class.
MOST_MASKS: Final = 12
# Held-out images on which the old and the new model are asked for old classes.
MOST_IMAGES: Final = 6
# Questions about old classes on these images: a drawn part of all pairs of image and class.
MOST_COMPARED: Final = 60
# Old classes of a store: at most so many (case, class) pairs.
MOST_PAIRS: Final = 60
# A mask of the old model of fewer pixels is not compared: one pixel would decide its Dice.
LEAST_PIXELS: Final = 20
_MASKS: Final = "masks"
_STORE: Final = "store"
_TOGETHER: Final = 16


@dataclass(frozen=True)
class _Question:
    """One class as it is measured: its pairs, and where their truth comes from."""

    name: str
    source: str
    pairs: tuple[Pair, ...]


@dataclass
class _Sheet:
    """The answers of one model: Dice by question, and the masks that are compared."""

    by_class: dict[str, float | None] = field(default_factory=dict)
    by_reference: dict[str, float] = field(default_factory=dict)
    old: dict[tuple[str, str], float] = field(default_factory=dict)
    masks: dict[tuple[int, int], Mask2d] = field(default_factory=dict)


class LessonExam:
    """The exam of a lesson; `before` once, then `after` once.

    Everything is measured without auto-zoom on the store's grid, as validation does.
    """

    def __init__(self, lesson: Lesson, long_side: int, seed: int = 0) -> None:
        self._lesson = lesson
        self._seed = seed
        self._new = _questions(lesson, lesson.taught, seed)
        self._old = [*_questions(lesson, lesson.labelled, seed), *_rehearsed(lesson, seed)]
        self._images = _some_images(lesson, seed)
        self._before = _Sheet()

    def before(self, model: LoadedModel, likely: Sequence[int], progress: Progress) -> None:
        """Measure the old model; `likely` are the classes that it is compared for afterwards."""
        self._before = self._measure(model, progress)
        self._before.masks = self._ask_all(model, likely, progress)

    def after(self, model: LoadedModel, progress: Progress) -> dict[str, Any]:
        """Measure the new model and return `new`, `old`, `agreement` and `notes`."""
        sheet = self._measure(model, progress)
        sheet.masks = self._ask_again(model, progress)
        before = self._before
        agreement = self._agreement(before, sheet)
        return {
            "new": [
                {
                    "name": question.name,
                    "masks": len(question.pairs),
                    "before": _answers(before, question.name),
                    "after": _answers(sheet, question.name),
                }
                for question in self._new
            ],
            "old": [
                {
                    "name": question.name,
                    "masks": len(question.pairs),
                    "before": _rounded(before.old[question.name, question.source]),
                    "after": _rounded(sheet.old[question.name, question.source]),
                    "source": question.source,
                }
                for question in self._old
            ],
            "agreement": agreement,
            "notes": self._notes(agreement),
        }

    def _measure(self, model: LoadedModel, progress: Progress) -> _Sheet:
        encoder = Encoder(model, EncodingCache())
        sheet = _Sheet()
        for question in self._new:
            _check(progress)
            name, pairs = question.name, question.pairs
            sheet.by_class[name] = None
            if pairs[0].concept < len(model.concepts):
                sheet.by_class[name] = _by_class(model, encoder, pairs)
            shown = [pair for pair in pairs if pair.reference is not None]
            requests = [
                Request(View(pair.image, 0), references=(as_example(pair.reference),))
                for pair in shown
                if pair.reference is not None
            ]
            sheet.by_reference[name] = float(np.mean(dices(model, encoder, shown, requests)))
        for question in self._old:
            _check(progress)
            key = (question.name, question.source)
            sheet.old[key] = _by_class(model, encoder, question.pairs)
        return sheet

    def _ask_all(
        self, model: LoadedModel, likely: Sequence[int], progress: Progress
    ) -> dict[tuple[int, int], Mask2d]:
        """Return the masks that the old model finds, by image and class."""
        every = [(number, row) for number in range(len(self._images)) for row in likely]
        order = counter_rng(self._seed, "compared").permutation(len(every))[:MOST_COMPARED]
        asked = [every[int(i)] for i in sorted(order)]
        masks = self._ask(model, asked, progress)
        return {key: mask for key, mask in masks.items() if int(mask.sum()) >= LEAST_PIXELS}

    def _ask_again(self, model: LoadedModel, progress: Progress) -> dict[tuple[int, int], Mask2d]:
        return self._ask(model, list(self._before.masks), progress)

    def _ask(
        self, model: LoadedModel, asked: Sequence[tuple[int, int]], progress: Progress
    ) -> dict[tuple[int, int], Mask2d]:
        encoder = Encoder(model, EncodingCache())
        found = {}
        for start in range(0, len(asked), _TOGETHER):
            _check(progress)
            keys = asked[start : start + _TOGETHER]
            requests = [Request(self._images[number], concept=row) for number, row in keys]
            answers = decode(model.segmenter, encoder, requests)
            for key, request, answer in zip(keys, requests, answers, strict=True):
                found[key] = np.asarray(lift(answer, encoder.fit(request.view)) >= 0.5)
        return found

    def _agreement(self, before: _Sheet, after: _Sheet) -> dict[str, Any] | None:
        if not before.masks:
            return None
        by_row: dict[int, list[float]] = {}
        for (number, row), mask in before.masks.items():
            by_row.setdefault(row, []).append(dice(after.masks[number, row], mask))
        means = {row: float(np.mean(values)) for row, values in by_row.items()}
        lowest = min(means, key=lambda row: (means[row], row))
        return {
            "classes": len(means),
            "masks": len(before.masks),
            "dice": _rounded(float(np.mean(list(means.values())))),
            "lowest": {
                "name": self._lesson.concepts.names[lowest],
                "dice": _rounded(means[lowest]),
            },
        }

    def _notes(self, agreement: Mapping[str, Any] | None) -> list[str]:
        notes = []
        if not self._old:
            notes.append(
                "no old class is labelled on the held-out masks, so that its Dice could not be "
                "measured; give masks of old classes to measure it"
            )
        if agreement is None:
            notes.append(
                "the old checkpoint finds none of its classes on the held-out images, so that "
                "there was nothing to compare the new one with"
            )
        else:
            notes.append(
                "agreement compares the new with the old checkpoint on held-out images; it says "
                "whether answers changed, not whether they are right"
            )
        return notes


def make_exam(lesson: Lesson, long_side: int) -> LessonExam:
    """Return the exam that a fine-tuning is measured with."""
    return LessonExam(lesson, long_side)


def _questions(lesson: Lesson, classes: ClassIds, seed: int) -> list[_Question]:
    """Return a question for each class that held-out masks show."""
    references = FixedReferences(lesson.store, seed)
    found = []
    for name, ids in classes.items():
        chosen = [
            (number, Target(row.dataset, name, ids[row.dataset], is_exhaustive=True))
            for number, row in enumerate(lesson.store.rows)
            if row.split == "val" and set(ids.get(row.dataset, ())) & set(row.areas)
        ]
        order = counter_rng(seed, name, "held out").permutation(len(chosen))[:MOST_MASKS]
        pairs = tuple(
            load_pair(lesson.store, lesson.concepts, references, *chosen[int(i)])
            for i in sorted(order)
        )
        if pairs:
            found.append(_Question(name, _MASKS, pairs))
    return found


def _rehearsed(lesson: Lesson, seed: int) -> list[_Question]:
    """Return a question for each old class that `val` of the rehearsed store shows."""
    if lesson.rehearsal is None:
        return []
    store, table = lesson.rehearsal.store, lesson.rehearsal.concepts
    settings = ValidationConfig(per_class=2, limit=MOST_PAIRS, seed=seed)
    references = FixedReferences(store, seed)
    by_class: dict[str, list[Pair]] = {}
    for number, target in choose_pairs(store, _old_part(table, lesson), settings):
        pair = load_pair(store, lesson.concepts, references, number, target)
        by_class.setdefault(target.concept, []).append(pair)
    return [_Question(name, _STORE, tuple(pairs)) for name, pairs in by_class.items()]


def _old_part(table: ConceptTable, lesson: Lesson) -> ConceptTable:
    return ConceptTable(tuple(table[row] for row in lesson.old_rows))


def _some_images(lesson: Lesson, seed: int) -> list[View]:
    held = [number for number, row in enumerate(lesson.store.rows) if row.split == "val"]
    order = counter_rng(seed, "images").permutation(len(held))[:MOST_IMAGES]
    reader = StoreReader(lesson.store)
    return [View(reader.image(held[int(i)]), 0) for i in sorted(order)]


def _by_class(model: LoadedModel, encoder: Encoder, pairs: Sequence[Pair]) -> float:
    requests = [Request(View(pair.image, 0), concept=pair.concept) for pair in pairs]
    return float(np.mean(dices(model, encoder, pairs, requests)))


def _answers(sheet: _Sheet, name: str) -> dict[str, float | None]:
    by_class = sheet.by_class[name]
    return {
        "class": None if by_class is None else _rounded(by_class),
        "reference": _rounded(sheet.by_reference[name]),
    }


def _rounded(value: float) -> float:
    return round(value, 4)


def _check(progress: Progress) -> None:
    progress.report(0, 0)
    if progress.is_cancelled():
        raise CancelledError("stopped while measuring; what was learned is kept, go on to finish")
