"""Prototypes of a task as extra sparse queries of K-Prism, without training it for them.

TP-Seg's own prototypes lie in TP-Seg's maps: another width, other axes, and no trained way from
there into K-Prism's queries. What can be tried on the weights as they are is the idea: K-Prism
pools a reference under its mask into queries of lesion and background, as sums over any number of
references. Those of a task's training images, kept once, are prototypes of the task. They are given
beside the class, or in its place, without the maps that references otherwise bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.core.preprocess import lift
from medprism.core.prompt import Mask2d
from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.cases import StoreReader, Target
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference
from medprism.models.kprism.decoder import STRIDES, DecoderInput
from medprism.models.kprism.knowledge import Sparse, pooled_summary
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Decoded, Features, ReferenceFeatures, canvas_logits

CLASS: Final = "class"
BOTH: Final = "class and prototypes"
ALONE: Final = "prototypes"
WAYS: Final = (CLASS, BOTH, ALONE)


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The pooled queries of a task's training images at the decoder's strides."""

    pooled: Float[Tensor, "1 scales queries dim"]
    images: int


class PrototypeAsker:
    """Segments pictures by K-Prism with a class, with prototypes, or with both.

    Raises:
        ConfigError: the model is no K-Prism in plain torch.
    """

    def __init__(self, model: LoadedModel, prototypes: Mapping[str, Prototypes], way: str) -> None:
        self.model, self.way, self._prototypes = model, way, prototypes
        self._kprism = kprism_of(model)
        self._encoder = Encoder(model, EncodingCache(0))

    def masks(self, reader: StoreReader, number: int, tasks: tuple[str, ...]) -> list[Mask2d]:
        """Return the mask of every task on the grid of a row's picture."""
        view = View(reader.image(number), 0)
        fit, features = self._encoder.fit(view), self._encoder.features(view)
        found = []
        for task in tasks:
            row = self.model.concepts.row(task) if self.way != ALONE else None
            kept = self._prototypes[task] if self.way != CLASS else None
            with torch.inference_mode():
                decoded = decode_with(self._kprism, features, row, kept)
                probability = canvas_logits(decoded, fit.canvas).sigmoid()[0].numpy()
            found.append(np.asarray(lift(probability, fit) >= 0.5))
        return found


def kprism_of(model: LoadedModel) -> KPrism:
    """Return the network of a loaded model.

    Raises:
        ConfigError: it is not K-Prism in plain torch.
    """
    if not isinstance(model.segmenter, KPrism):
        raise ConfigError(f"{model.name} is no K-Prism on the torch engine; choose another model")
    return model.segmenter


def make_prototypes(
    model: LoadedModel, store: SliceStore, targets: tuple[Target, ...], images: int
) -> Prototypes:
    """Pool the queries of up to `images` training pictures of a task, its sets by turns."""
    encoder, reader = Encoder(model, EncodingCache(0)), StoreReader(store)
    parts = []
    for number, target in _train_rows(store, targets)[:images]:
        pair = Reference.from_pair(reader.image(number), reader.truth(number, target))
        encoded = encoder.reference(pair, View(pair.image, 0))
        # Only the pooled queries are kept; the positions of all pictures would fill the memory.
        parts.append((encoded.summary, encoded.weight))
    nothing = torch.zeros(1, 0, 1)
    whole = ReferenceFeatures(
        keys=nothing,
        values=nothing,
        valid=torch.zeros(1, 0, dtype=torch.bool),
        summary=torch.stack([summary for summary, _ in parts]).sum(0),
        weight=torch.stack([weight for _, weight in parts]).sum(0),
    )
    return Prototypes(pooled_summary(whole), len(parts))


def decode_with(
    model: KPrism, features: Features, concept: int | None, prototypes: Prototypes | None
) -> Decoded:
    """Segment one image by a class, by prototypes, or by both; no reference is read position-wise.

    With a class alone this is `KPrism.decode` of that class.
    """
    canvas = features.maps[0]
    maps = {4: features.maps[-3], 8: features.maps[-2], 16: features.maps[-1]}
    pixels = {stride: model.project[str(stride)](maps[stride]) for stride in STRIDES}
    groups: list[Sparse] = []
    context = None
    if prototypes is not None:
        pooled = prototypes.pooled.to(canvas.dtype)
        context = {stride: pooled[:, place] for place, stride in enumerate(STRIDES)}
        groups.append(model.context(pooled[:, 0]))
    if concept is not None:
        groups.append(model.classes(torch.tensor([concept])))
    output = model.decoder(DecoderInput(pixels, Sparse.join(groups), context, None), model.context)
    logits = output.logits
    if model.fine_head is not None:
        logits = [*logits, model.fine_head(output.pixels, canvas, None, logits[-1])]
    return Decoded(logits[-1], tuple(logits[:-1]))


def _train_rows(store: SliceStore, targets: tuple[Target, ...]) -> list[tuple[int, Target]]:
    """Return the training rows of a task in a seeded order, its sets by turns."""
    queues = []
    for target in targets:
        rows = [
            number
            for number, row in enumerate(store.rows)
            if row.dataset == target.dataset and row.split == "train" and target.is_shown(row)
        ]
        order = counter_rng(5, target.dataset, target.concept, "prototypes").permutation(len(rows))
        queues.append([(rows[int(place)], target) for place in order])
    longest = max(map(len, queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]
