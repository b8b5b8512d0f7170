"""The five kinds of request over the same random material, for every test of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from medprism.models.kprism.config import KPrismConfig
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Clicks, Decoded, Prompts, TensorValue
from medprism.prompts.rasterise import mark_points

# Which members a request has: that is its kind.
KINDS: Final[dict[str, frozenset[str]]] = {
    "semantic": frozenset({"concept"}),
    "in-context": frozenset({"references"}),
    "interactive": frozenset({"marks"}),
    "refine-semantic": frozenset({"concept", "marks"}),
    "refine-in-context": frozenset({"references", "marks"}),
}


@dataclass(frozen=True, eq=False)
class Question(TensorValue):
    """Random images with everything that can be asked about them; one request an image."""

    image: Tensor
    concept: Tensor
    reference_image: Tensor
    reference_mask: Tensor
    reference_valid: Tensor
    position: Tensor
    is_positive: Tensor
    valid: Tensor
    previous: Tensor

    @property
    def dense(self) -> Tensor:
        """Marks of the clicks and the previous probability."""
        size = self.image.shape[-2:]
        marks = mark_points(self.position, self.is_positive, self.valid, size[0], size[1])
        return torch.cat([marks, self.previous[:, None]], 1)

    def to(self, dtype: torch.dtype) -> Question:
        """Return the question in another precision."""
        return self.map(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def pick(self, rows: list[int]) -> Question:
        """Return some of the requests."""
        return self.map(lambda t: t[rows])

    def with_changed(self, **members: Tensor) -> Question:
        """Return a copy with other members."""
        return replace(self, **members)


def draw_question(
    height: int = 48,
    width: int = 80,
    *,
    requests: int = 2,
    refs: int = 2,
    clicks: int = 3,
    concepts: int = 3,
    seed: int = 3,
    dtype: torch.dtype = torch.float32,
) -> Question:
    """Draw images, references, clicks and a previous probability."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    def blot(*shape: int) -> Tensor:
        coarse = torch.randn((1, *shape[:-2], shape[-2] // 8, shape[-1] // 8), generator=rng)
        flat = coarse.flatten(1, -3)
        size = (shape[-2], shape[-1])
        grown = torch.nn.functional.interpolate(flat, size, mode="bilinear")
        return (3 * grown).sigmoid().reshape(shape)

    extent = torch.tensor([height, width])
    return Question(
        image=normal(requests, 3, height, width),
        concept=torch.arange(requests) % concepts,
        reference_image=normal(requests, refs, 3, height, width),
        reference_mask=blot(requests, refs, height, width),
        reference_valid=torch.ones(requests, refs, dtype=torch.bool),
        position=torch.rand((requests, clicks, 2), generator=rng) * (extent - 1),
        is_positive=(torch.arange(clicks) % 3 != 1).expand(requests, -1),
        valid=torch.ones(requests, clicks, dtype=torch.bool),
        previous=blot(requests, height, width),
    ).to(dtype)


def answer(model: KPrism, question: Question, kind: str) -> Decoded:
    """Ask the model; each call encodes anew."""
    features = model.encode(question.image)
    return model.decode(features, prompts_of(model, question, kind))


def prompts_of(model: KPrism, question: Question, kind: str) -> Prompts:
    """Put together the members that a kind of request has."""
    members = KINDS[kind]
    references = None
    if "references" in members:
        references = model.encode_references(
            question.reference_image, question.reference_mask, question.reference_valid
        )
    marks = "marks" in members
    clicks = Clicks(question.position, question.is_positive, question.valid)
    return Prompts(
        concept=question.concept if "concept" in members else None,
        references=references,
        clicks=clicks if marks else None,
        dense=question.dense if marks else None,
    )


def make_model(
    config: Callable[[int], KPrismConfig],
    *,
    concepts: int = 3,
    seed: int = 1,
    dtype: torch.dtype = torch.float32,
) -> KPrism:
    """Build a model with fixed random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return KPrism(config(concepts)).to(dtype).eval()


def worst_difference(one: Decoded, other: Decoded) -> float:
    """Return the largest difference over all outputs."""
    maps = zip((one.logits, *one.auxiliary), (other.logits, *other.auxiliary), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in maps)
