"""Random questions to rivals, made of what they accept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Clicks, Features, Prompts
from medprism.models.zoo.slices.frame import Rival
from medprism.models.zoo.slices.roster import RIVALS

SIZE = (64, 96)
CLASSES = 5


def build_needs(name: str) -> None:
    """Skip where a package is missing that a rival is built of."""
    if (package := RIVALS[name].needs) is not None:
        pytest.importorskip(package, reason=f"{name} is built of {package}")


def draw_image(requests: int = 2, seed: int = 3) -> Tensor:
    """Return canvases of noise."""
    return torch.randn(requests, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def draw_masks(requests: int, refs: int) -> Tensor:
    """Return reference masks of boxes that differ in place and size."""
    masks = torch.zeros(requests, refs, *SIZE)
    for row in range(requests):
        for index in range(refs):
            top, left = 5 + 7 * row + 3 * index, 9 + 11 * index
            masks[row, index, top : top + 14, left : left + 23 + row] = 1
    return masks


def draw_clicks(requests: int = 2) -> tuple[Clicks, Tensor]:
    """Return a positive and a negative click a request, and their maps with a previous mask."""
    position = torch.tensor([[[20.0, 30.0], [50.0, 70.0]]]).repeat(requests, 1, 1)
    is_positive = torch.tensor([[True, False]]).repeat(requests, 1)
    dense = torch.zeros(requests, 3, *SIZE)
    dense[:, 0, 18:23, 28:33] = 1
    dense[:, 1, 48:53, 68:73] = 1
    dense[:, 2, 15:31, 24:42] = 0.7
    return Clicks(position, is_positive, torch.ones_like(is_positive)), dense


def ask(
    model: Rival | KPrism, requests: int = 2, refs: int = 2, image: Tensor | None = None
) -> tuple[Features, Prompts]:
    """Encode images and make prompts of one kind that the model accepts: references first."""
    canvases = draw_image(requests) if image is None else image
    features, accepts = model.encode(canvases), model.accepts
    if accepts.references:
        shown = torch.stack([draw_image(requests, 7 + index) for index in range(refs)], 1)
        valid = torch.ones(requests, refs, dtype=torch.bool)
        return features, Prompts(
            references=model.encode_references(shown, draw_masks(requests, refs), valid)
        )
    if accepts.classes:
        return features, Prompts(concept=torch.arange(requests) % CLASSES)
    clicks, dense = draw_clicks(requests)
    return features, Prompts(clicks=clicks, dense=dense)
