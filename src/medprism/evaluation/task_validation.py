"""Validation of TP-Seg during training: Dice by task on a few fixed cases of `val`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.errors import StoreError
from medprism.data.store import SliceStore
from medprism.engines.loading import from_weights
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.validation import ValidationConfig, choose_pairs, dices, load_pair
from medprism.inference.decoding import Request
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.models.tpseg.config import TPSegConfig

# Tasks are fewer than classes, and nothing is clicked.
SETTINGS: Final = ValidationConfig(per_class=8)


def make_task_validate(
    store: SliceStore,
    concepts: ConceptTable,
    long_side: int,
    config: TPSegConfig,
    settings: ValidationConfig = SETTINGS,
) -> Callable[[dict[str, Tensor]], dict[str, float]]:
    """Return the function that training calls with averaged weights.

    It returns Dice in 0..1 of each task as "task/NAME", the mean over its cases, and "score", the
    mean over tasks. Global random states are left alone.

    Raises:
        StoreError: no slice of the split shows any of the tasks.
    """
    chosen = choose_pairs(store, concepts, settings)
    if not chosen:
        raise StoreError(
            f"the store {store.path} has no {settings.split} slice that shows any of the "
            f"{len(concepts)} tasks; validate on a store that has"
        )
    references = FixedReferences(store, settings.seed)
    pairs = [load_pair(store, concepts, references, number, target) for number, target in chosen]
    requests = [Request(View(pair.image, 0), concept=pair.concept) for pair in pairs]

    def validate(weights: dict[str, Tensor]) -> dict[str, float]:
        model = from_weights(config, weights, concepts, long_side)
        values = dices(model, Encoder(model, EncodingCache()), pairs, requests)
        by_task: dict[str, list[float]] = {}
        for pair, value in zip(pairs, values, strict=True):
            by_task.setdefault(concepts[pair.concept].name, []).append(value)
        figures = {f"task/{name}": float(np.mean(several)) for name, several in by_task.items()}
        return {**figures, "score": float(np.mean(list(figures.values())))}

    return validate
