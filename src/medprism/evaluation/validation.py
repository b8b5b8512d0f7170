"""Validation during training: a small fixed benchmark on `val` that is over in seconds.

The same steps as a session without auto-zoom takes them, but all cases at once: requests of one
make-up and canvas run as a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError, StoreError
from medprism.core.image import Image
from medprism.core.preprocess import lift
from medprism.core.prompt import Interactions, Mask2d
from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import from_weights
from medprism.evaluation.cases import StoreReader, Target, trained_targets
from medprism.evaluation.references import FixedReferences
from medprism.inference.decoding import Probability, ReferenceView, Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference
from medprism.metrics.dice import dice
from medprism.models.iris.config import IrisConfig
from medprism.models.kprism.config import KPrismConfig
from medprism.prompts.clicks import next_click

_REPORTED: Final = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """How many (case, class) pairs are drawn, and how often each is clicked.

    Every class gets one case before any gets a second, up to `per_class`; `limit` caps the whole.
    """

    per_class: int = 2
    limit: int = 110
    clicks: int = 5
    seed: int = 0
    split: str = "val"

    def __post_init__(self) -> None:
        if min(self.per_class, self.limit) < 1 or self.clicks < max(_REPORTED):
            raise ConfigError(
                f"validation needs at least 1 case a class, 1 pair and {max(_REPORTED)} clicks, "
                f"got {self.per_class}, {self.limit} and {self.clicks}"
            )


@dataclass(frozen=True, eq=False)
class Pair:
    """One (case, class) pair: what is asked, the truth, and the reference to ask with."""

    concept: int
    image: Image
    truth: Mask2d
    reference: Reference | None


def make_validate(
    store: SliceStore,
    concepts: ConceptTable,
    long_side: int,
    config: KPrismConfig | IrisConfig,
    settings: ValidationConfig | None = None,
) -> Callable[[dict[str, Tensor]], dict[str, float]]:
    """Return the function that training calls with averaged weights.

    It returns Dice in 0..1, each the mean over classes of the mean over a class's cases:
    "semantic", "one-shot" (one fixed reference from `train`), "clicks@1", "clicks@3", "clicks@5"
    (nothing but clicks), and "score", the mean of these. What a model cannot be asked is left out.
    Global random states are left alone.

    Raises:
        StoreError: no slice of the split shows any of the concepts.
    """
    settings = settings or ValidationConfig()
    chosen = choose_pairs(store, concepts, settings)
    if not chosen:
        raise StoreError(
            f"the store {store.path} has no {settings.split} slice that shows any of the "
            f"{len(concepts)} concepts; validate on a store that has"
        )
    references = FixedReferences(store, settings.seed)
    pairs = [load_pair(store, concepts, references, number, target) for number, target in chosen]

    def validate(weights: dict[str, Tensor]) -> dict[str, float]:
        loaded = from_weights(config, weights, concepts, long_side)
        return measure(loaded, pairs, settings.clicks)

    return validate


def choose_pairs(
    store: SliceStore, concepts: ConceptTable, settings: ValidationConfig
) -> tuple[tuple[int, Target], ...]:
    """Return (row, target) pairs, a seeded choice that is spread over classes, sets and patients.

    A class's sets take turns; within a set, patients not drawn yet come first.
    """
    by_dataset: dict[str, list[int]] = {}
    for number, row in enumerate(store.rows):
        if row.split == settings.split and row.role == "train":
            by_dataset.setdefault(row.dataset, []).append(number)
    queues: dict[str, list[list[tuple[int, Target]]]] = {}
    for target in trained_targets(concepts):
        rows = [n for n in by_dataset.get(target.dataset, []) if target.is_shown(store.rows[n])]
        if rows:
            ordered = _patients_first(store, rows, target, settings.seed)
            queues.setdefault(target.concept, []).append([(n, target) for n in ordered])
    drawn: dict[str, list[tuple[int, Target]]] = {}
    for concept, sets in queues.items():
        order = counter_rng(settings.seed, concept, "sets").permutation(len(sets))
        drawn[concept] = _take_turns([sets[int(i)] for i in order])[: settings.per_class]
    names = list(drawn)
    turn = counter_rng(settings.seed, "classes").permutation(len(names))
    dealt = _take_turns([drawn[names[int(i)]] for i in turn])[: settings.limit]
    return tuple(sorted(dealt, key=lambda pair: (pair[0], pair[1].concept)))


def _patients_first(store: SliceStore, rows: Sequence[int], target: Target, seed: int) -> list[int]:
    rng = counter_rng(seed, target.dataset, target.concept, "cases")
    shuffled = [rows[int(i)] for i in rng.permutation(len(rows))]
    seen: dict[str, int] = {}
    rank: dict[int, int] = {}
    for number in shuffled:
        patient = store.rows[number].patient
        rank[number] = 0 if patient is None else seen.get(patient, 0)
        if patient is not None:
            seen[patient] = rank[number] + 1
    return sorted(shuffled, key=lambda number: rank[number])


def _take_turns(queues: Sequence[list[tuple[int, Target]]]) -> list[tuple[int, Target]]:
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def load_pair(
    store: SliceStore,
    concepts: ConceptTable,
    references: FixedReferences,
    number: int,
    target: Target,
) -> Pair:
    """Read a drawn pair and its fixed reference from the store."""
    reader = StoreReader(store)
    other = references.choose(number, target)
    reference = None
    if other is not None:
        reference = Reference.from_pair(reader.image(other), reader.truth(other, target))
    return Pair(
        concepts.row(target.concept),
        reader.image(number),
        reader.truth(number, target),
        reference,
    )


def measure(model: LoadedModel, pairs: Sequence[Pair], clicks: int) -> dict[str, float]:
    """Return the figures of `make_validate` for one model; `clicks` are given to every pair."""
    encoder, accepts = Encoder(model, EncodingCache()), model.segmenter.accepts
    figures: dict[str, float] = {}
    if accepts.classes:
        by_class = [Request(View(pair.image, 0), concept=pair.concept) for pair in pairs]
        figures["semantic"] = _macro(pairs, dices(model, encoder, pairs, by_class))
    if accepts.references:
        with_example = [pair for pair in pairs if pair.reference is not None]
        by_example = [
            Request(View(pair.image, 0), references=(as_example(pair.reference),))
            for pair in with_example
            if pair.reference is not None
        ]
        found = dices(model, encoder, with_example, by_example)
        figures["one-shot"] = _macro(with_example, found)
    if accepts.clicks:
        rounds = _click(model, encoder, pairs, clicks)
        figures |= {f"clicks@{number}": _macro(pairs, rounds[number - 1]) for number in _REPORTED}
    return {**figures, "score": float(np.mean(list(figures.values())))}


def as_example(reference: Reference) -> ReferenceView:
    """Return the only slice of a reference as an example for a request."""
    return ReferenceView(reference, View(reference.image, 0))


def dices(
    model: LoadedModel, encoder: Encoder, pairs: Sequence[Pair], requests: Sequence[Request]
) -> list[float]:
    """Return the Dice of the answer to each request against the truth of its pair."""
    answers = decode(model.segmenter, encoder, requests)
    return [
        dice(_mask(encoder, request, answer), pair.truth)
        for pair, request, answer in zip(pairs, requests, answers, strict=True)
    ]


def _click(
    model: LoadedModel, encoder: Encoder, pairs: Sequence[Pair], clicks: int
) -> list[list[float]]:
    """Return Dice of every pair after each click; a perfect mask is not clicked again."""
    said = [Interactions() for _ in pairs]
    masks = [np.zeros_like(pair.truth) for pair in pairs]
    previous: list[Probability | None] = [None for _ in pairs]
    rounds: list[list[float]] = []
    for _ in range(clicks):
        asked = []
        for index, pair in enumerate(pairs):
            click = next_click(masks[index], pair.truth)
            if click is not None:
                said[index] = said[index].with_added(click)
                asked.append(index)
        requests = [
            Request(View(pairs[i].image, 0), interactions=said[i], previous=previous[i])
            for i in asked
        ]
        answers = decode(model.segmenter, encoder, requests)
        for index, request, answer in zip(asked, requests, answers, strict=True):
            previous[index] = answer
            masks[index] = _mask(encoder, request, answer)
        rounds.append([dice(m, pair.truth) for m, pair in zip(masks, pairs, strict=True)])
    return rounds


def _mask(
    encoder: Encoder,
    request: Request,
    answer: Float32[np.ndarray, "canvas_height canvas_width"],
) -> Mask2d:
    return np.asarray(lift(answer, encoder.fit(request.view)) >= 0.5)


def _macro(pairs: Sequence[Pair], values: Sequence[float]) -> float:
    by_class: dict[int, list[float]] = {}
    for pair, value in zip(pairs, values, strict=True):
        by_class.setdefault(pair.concept, []).append(value)
    return float(np.mean([np.mean(of_class) for of_class in by_class.values()])) if pairs else 0.0
