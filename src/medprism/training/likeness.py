"""Which old classes an old model finds on new images: where a new class may begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from medprism.data.augment import crop_and_shrink, plain_warp, prepare_sampling, sample, warp_plane
from medprism.data.store import SliceStore
from medprism.metrics.dice import dice
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Prompts, canvas_logits
from medprism.training.batches import standardised

# Decoded together; more need more memory.
TOGETHER: Final = 16
# A mask of fewer pixels of the canvas is no find.
FOUND_SHARE: Final = 0.001
# A class below this Dice says nothing about a new one.
LEAST_DICE: Final = 0.05


@dataclass(frozen=True)
class Likeness:
    """What a scan found: the old class most like the new one (None: none is), and all it found."""

    start: int | None
    found: tuple[int, ...]


def scan(
    model: KPrism,
    store: SliceStore,
    numbers: Sequence[int],
    label_ids: tuple[int, ...],
    rows: Sequence[int],
    size: int,
) -> Likeness:
    """Ask a model for all its classes on some images, and compare them with the masks there."""
    if not rows:
        return Likeness(None, ())
    scores = np.zeros(len(rows))
    is_found = np.zeros(len(rows), np.bool_)
    for number in numbers:
        image, truth = _plain(store, number, label_ids, size)
        masks = ask_all(model, image, rows) >= 0.5
        scores += [dice(mask, truth) for mask in masks]
        is_found |= masks.mean((1, 2)) >= FOUND_SHARE
    best = int(scores.argmax())
    is_alike = bool(scores[best] / max(1, len(numbers)) >= LEAST_DICE)
    found = tuple(row for row, there in zip(rows, is_found, strict=True) if there)
    return Likeness(rows[best] if is_alike else None, found)


@torch.no_grad()
def ask_all(
    model: KPrism, image: Tensor, rows: Sequence[int]
) -> Float32[np.ndarray, "rows height width"]:
    """Return the probability of every class on one canvas (1, 3, height, width)."""
    features = model.encode(image)
    answers = []
    for start in range(0, len(rows), TOGETHER):
        concept = torch.tensor(rows[start : start + TOGETHER], dtype=torch.int64)
        repeated = features.select(torch.zeros(len(concept), dtype=torch.int64))
        decoded = model.decode(repeated, Prompts(concept=concept))
        size = (int(image.shape[-2]), int(image.shape[-1]))
        answers.append(canvas_logits(decoded, size).sigmoid().numpy())
    return np.concatenate(answers)


def _plain(
    store: SliceStore, number: int, label_ids: tuple[int, ...], size: int
) -> tuple[Tensor, Bool[np.ndarray, "size size"]]:
    """Return a row's canvas and mask without augmentation."""
    pixels: UInt8[np.ndarray, "height width channels"] = store.image(number)
    sampling = prepare_sampling(plain_warp((pixels.shape[0], pixels.shape[1]), size))
    canvas = sample(crop_and_shrink(pixels, sampling), sampling)
    if canvas.shape[2] == 1:
        canvas = np.repeat(canvas, 3, axis=2)
    coverage = warp_plane(store.plane(number, label_ids), sampling)
    return standardised(canvas[None]), np.asarray(coverage >= 128)
