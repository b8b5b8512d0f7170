"""A segmenter without weights: it looks at brightness, so that tests can say what must come out.

A class is a brightness; a reference stands for the mean brightness under its mask; a click stands
for the brightness under it and pulls its neighbourhood; the previous probability and the marks
push a little. Everything is a pure, deterministic function of the tensors, like a real model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.preprocess import CENTRE, SCALE
from medprism.engines.loaded import LoadedModel
from medprism.models.segmenter import (
    Accepts,
    Clicks,
    Decoded,
    Features,
    Prompts,
    ReferenceFeatures,
)

# Brightness in 0..1 of each class.
CONCEPTS = ConceptTable(
    (Concept("liver", ("hepar",)), Concept("left kidney"), Concept("polyp"), Concept("nothing"))
)
BRIGHTNESS = (0.45, 0.68, 0.92, 2.0)
STEEPNESS, TOLERANCE = 80.0, 0.08
# A positive click does not outvote brightness, a negative one does.
PULL, PUSH, REACH = 6.0, 14.0, 0.08
STRIDE = 4


class FakeSegmenter:
    """Segment by brightness; `accepts` and `spatial_dims` can be set to play other models."""

    def __init__(self, accepts: Accepts | None = None, spatial_dims: int = 2) -> None:
        self.accepts = accepts or Accepts(classes=True, references=True, clicks=True)
        self.spatial_dims = spatial_dims

    def encode(self, image: Tensor) -> Features:
        """Keep brightness at 1/4 and 1/16."""
        brightness = _brightness(image)
        return Features((F.avg_pool2d(brightness, STRIDE), F.avg_pool2d(brightness, 16)))

    def encode_references(self, image: Tensor, mask: Tensor, valid: Tensor) -> ReferenceFeatures:
        """Sum brightness under the masks; keys and values are brightness and coverage at 1/16."""
        requests, refs = mask.shape[:2]
        brightness = _brightness(image.flatten(0, 1))
        keys = F.avg_pool2d(brightness, 16).reshape(requests, -1, 1)
        values = F.avg_pool2d(mask.flatten(0, 1)[:, None], 16).reshape(requests, -1, 1)
        # Cells well inside count most, as the rim mixes in what lies around.
        inside = F.avg_pool2d(mask.flatten(0, 1)[:, None], STRIDE).pow(8)
        real = valid.flatten()[:, None, None, None]
        weights = (inside * real).reshape(requests, -1)
        weight = weights.sum(1)
        summary = (weights * F.avg_pool2d(brightness, STRIDE).reshape(requests, -1)).sum(1)
        cells = keys.shape[1] // refs
        return ReferenceFeatures(
            keys=keys,
            values=values,
            valid=valid.repeat_interleave(cells, dim=1),
            summary=summary[:, None, None, None],
            weight=weight[:, None, None],
        )

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Score every cell at 1/4."""
        brightness = features.maps[0][:, 0]
        known = prompts.concept is not None or prompts.references is not None
        score = torch.full_like(brightness, -2.0)
        if prompts.concept is not None:
            wanted = torch.tensor(BRIGHTNESS)[prompts.concept]
            score = _likeness(brightness, wanted[:, None, None])
        if prompts.references is not None:
            pooled = prompts.references.summary[:, 0, 0, 0] / prompts.references.weight[:, 0, 0]
            score = _likeness(brightness, pooled[:, None, None])
        if prompts.clicks is not None:
            score = _with_clicks(score, brightness, prompts.clicks, known=known)
        if prompts.dense is not None:
            coarse = F.avg_pool2d(prompts.dense, STRIDE)
            score = score + 4 * (coarse[:, 0] - coarse[:, 1]) + (coarse[:, 2] - 0.5)
        return Decoded(score, ())


@dataclass
class Calls:
    """How often a model was asked, and how many requests each decode held."""

    encode: int = 0
    encode_references: int = 0
    decode: list[int] = field(default_factory=list)
    prompts: list[Prompts] = field(default_factory=list)


class CountingSegmenter(FakeSegmenter):
    """The same, and it counts."""

    def __init__(self, accepts: Accepts | None = None) -> None:
        super().__init__(accepts)
        self.calls = Calls()

    def encode(self, image: Tensor) -> Features:
        """Count the images."""
        self.calls.encode += len(image)
        return super().encode(image)

    def encode_references(self, image: Tensor, mask: Tensor, valid: Tensor) -> ReferenceFeatures:
        """Count the references."""
        self.calls.encode_references += int(valid.sum())
        return super().encode_references(image, mask, valid)

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Count the calls and keep what was asked."""
        self.calls.decode.append(len(features.maps[0]))
        self.calls.prompts.append(prompts)
        return super().decode(features, prompts)


def fake_model(
    segmenter: FakeSegmenter | None = None, *, weights: str = "fake-1", long_side: int = 96
) -> LoadedModel:
    """Return a loaded model around a fake segmenter."""
    return LoadedModel(
        name="fake",
        segmenter=segmenter or FakeSegmenter(),
        concepts=CONCEPTS,
        long_side=long_side,
        weights_hash=weights,
        engine="torch",
        threads=torch.get_num_threads(),
        card={},
    )


def _brightness(image: Tensor) -> Tensor:
    return (image.mean(1, keepdim=True) * SCALE + CENTRE) / 255


def _likeness(brightness: Tensor, wanted: Tensor) -> Tensor:
    return (STEEPNESS * (TOLERANCE - (brightness - wanted).abs())).clamp(-8, 8)


def _with_clicks(score: Tensor, brightness: Tensor, clicks: Clicks, *, known: bool) -> Tensor:
    height, width = brightness.shape[-2:]
    at = ((clicks.position + 0.5) / STRIDE - 0.5).clamp(min=0)
    rows = torch.arange(height)[:, None, None]
    cols = torch.arange(width)[None, :, None]
    row, col = at[:, None, None, :, 0], at[:, None, None, :, 1]
    distance = ((rows - row).square() + (cols - col).square()).sqrt()
    near = torch.exp(-(distance / (REACH * max(height, width))).square())
    positive = (clicks.is_positive & clicks.valid)[:, None, None]
    negative = (~clicks.is_positive & clicks.valid)[:, None, None]
    if not known:
        index = at.round().long()
        flat = index[..., 0].clamp(max=height - 1) * width + index[..., 1].clamp(max=width - 1)
        under = brightness.flatten(1).gather(1, flat)[:, None, None]
        alike = _likeness(brightness[..., None], under).masked_fill(~positive, -8.0)
        score = torch.maximum(score, alike.amax(-1))
    return score + PULL * (near * positive).sum(-1) - PUSH * (near * negative).sum(-1)
