"""Decode many requests: those of one make-up and size run as a batch, in bounded chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from medprism.core.prompt import Interactions
from medprism.inference.encoder import Encoder, View
from medprism.inference.reference_bank import Reference
from medprism.models.segmenter import (
    Clicks,
    Features,
    Prompts,
    ReferenceFeatures,
    Segmenter,
    canvas_logits,
)
from medprism.prompts.rasterise import CanvasPrompt, pad_queries, to_canvas

# Canvas pixels decoded together: 16 requests at 256 x 256, 4 at 512 x 512.
CHUNK_PIXELS: Final = 2**20

# Canvases differ from request to request, so the axes have no names.
Probability = Float32[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class ReferenceView:
    """One slice of a reference, or a crop of it, as an example for a request."""

    reference: Reference
    view: View


@dataclass(frozen=True, eq=False)
class Request:
    """One question about one view; absent knowledge is None or empty.

    `interactions` are in the view's own coordinates. `previous` is a probability on the canvas;
    None means zeros. It is shown to the model together with interactions only.
    """

    view: View
    concept: int | None = None
    references: tuple[ReferenceView, ...] = ()
    interactions: Interactions = Interactions()
    previous: Probability | None = None

    @property
    def make_up(self) -> tuple[bool, bool, bool]:
        """Which kinds of knowledge are present; requests of one batch share it."""
        return self.concept is not None, bool(self.references), bool(self.interactions)


def decode(
    segmenter: Segmenter,
    encoder: Encoder,
    requests: Sequence[Request],
    chunk_pixels: int = CHUNK_PIXELS,
) -> list[Probability]:
    """Return the probability of each request on its canvas, in the order of the requests."""
    answers: list[Probability | None] = [None] * len(requests)
    for group in _groups(encoder, requests):
        size = _chunk_size(encoder, [requests[i] for i in group], chunk_pixels)
        for start in range(0, len(group), size):
            chunk = group[start : start + size]
            probability = _decode_chunk(segmenter, encoder, [requests[i] for i in chunk])
            for index, answer in zip(chunk, probability, strict=True):
                answers[index] = answer
    return [answer for answer in answers if answer is not None]


def _groups(encoder: Encoder, requests: Sequence[Request]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for index, request in enumerate(requests):
        key = (request.make_up, encoder.fit(request.view).canvas)
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _chunk_size(encoder: Encoder, requests: list[Request], chunk_pixels: int) -> int:
    height, width = encoder.fit(requests[0].view).canvas
    longest = max(len(request.references) for request in requests)
    # A decode costs about as much memory as attending to sixteen references.
    return max(1, chunk_pixels // (height * width * (1 + longest // 16)))


def _decode_chunk(
    segmenter: Segmenter, encoder: Encoder, requests: list[Request]
) -> list[Probability]:
    has_concept, has_references, has_interactions = requests[0].make_up
    canvas = encoder.fit(requests[0].view).canvas
    with torch.inference_mode():
        concept = None
        if has_concept:
            concept = torch.tensor([request.concept for request in requests], dtype=torch.int64)
        references = _join_references(encoder, requests) if has_references else None
        clicks, dense = None, None
        if has_interactions:
            clicks, dense = _where(encoder, requests)
        prompts = Prompts(concept=concept, references=references, clicks=clicks, dense=dense)
        decoded = segmenter.decode(_join_features(encoder, requests), prompts)
        probability = canvas_logits(decoded, canvas).sigmoid().numpy()
    # Copies: a view would keep the whole batch alive.
    return [answer.copy() for answer in probability]


def _join_features(encoder: Encoder, requests: list[Request]) -> Features:
    """Stack the encodings of the views in use and repeat each for its requests."""
    rows: dict[object, int] = {}
    encodings: list[Features] = []
    index = []
    for request in requests:
        key = (request.view.image.digest, request.view.slice_index, request.view.crop)
        if key not in rows:
            rows[key] = len(encodings)
            encodings.append(encoder.features(request.view))
        index.append(rows[key])
    if index == list(range(len(encodings))) and len(encodings) == 1:
        return encodings[0]
    levels = zip(*(encoding.maps for encoding in encodings), strict=True)
    stacked = Features(tuple(torch.cat(level) for level in levels))
    return stacked.select(torch.tensor(index, dtype=torch.int64))


def _join_references(encoder: Encoder, requests: list[Request]) -> ReferenceFeatures:
    """Join each request's references and pad them to the longest."""
    rows: dict[object, int] = {}
    joined: list[ReferenceFeatures] = []
    index = []
    for request in requests:
        key = tuple(
            (one.reference.digest, one.view.slice_index, one.view.crop)
            for one in request.references
        )
        if key not in rows:
            rows[key] = len(joined)
            parts = [encoder.reference(one.reference, one.view) for one in request.references]
            joined.append(ReferenceFeatures.concatenate(parts))
        index.append(rows[key])
    longest = max(one.keys.shape[1] for one in joined)
    padded = [_pad_positions(one, longest) for one in joined]
    stacked = ReferenceFeatures(
        keys=torch.cat([one.keys for one in padded]),
        values=torch.cat([one.values for one in padded]),
        valid=torch.cat([one.valid for one in padded]),
        summary=torch.cat([one.summary for one in padded]),
        weight=torch.cat([one.weight for one in padded]),
    )
    return stacked.map(lambda tensor: tensor[torch.tensor(index, dtype=torch.int64)])


def _pad_positions(features: ReferenceFeatures, length: int) -> ReferenceFeatures:
    missing = length - features.keys.shape[1]
    if missing == 0:
        return features
    return ReferenceFeatures(
        keys=F.pad(features.keys, (0, 0, 0, missing)),
        values=F.pad(features.values, (0, 0, 0, missing)),
        valid=F.pad(features.valid, (0, missing), value=False),
        summary=features.summary,
        weight=features.weight,
    )


def _where(
    encoder: Encoder, requests: list[Request]
) -> tuple[Clicks, Float[Tensor, "requests 3 height width"]]:
    """Rasterise the interactions and put the previous probability behind them."""
    placed: list[CanvasPrompt] = []
    dense = []
    for request in requests:
        fit = encoder.fit(request.view)
        prompt = to_canvas(request.interactions, fit)
        previous = np.zeros(fit.canvas, np.float32)
        if request.previous is not None:
            previous = request.previous
        placed.append(prompt)
        dense.append(torch.from_numpy(np.concatenate([prompt.dense, previous[None]])))
    return Clicks(*pad_queries(placed)), torch.stack(dense)
