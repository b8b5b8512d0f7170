"""The pieces of work that are measured: what a user asks for, with random weights and noise.

Cost depends on neither. Cached encodings are made before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final
from unittest import mock

import torch
from torch import Tensor

from medprism.engines.engine import engine_named
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import (
    Clicks,
    Features,
    Prompts,
    ReferenceFeatures,
    Segmenter,
    canvas_logits,
)

Work = Callable[[], object]
CLASSES: Final = 33
CHUNK_PIXELS: Final = 2**20


@dataclass(frozen=True)
class Setting:
    """Which model is measured how: preset, side in pixels, engine, number of experts."""

    preset: str
    side: int
    engine: str = "torch"
    experts: int | None = None

    def segmenter(self, threads: int) -> Segmenter:
        """Build the model with random weights and start its engine."""
        torch.manual_seed(1)
        config = PRESETS[self.preset].config(CLASSES)
        if self.experts is not None:
            decoder = replace(config.decoder, read_experts=self.experts, feed_experts=self.experts)
            config = replace(config, decoder=decoder)
        name = f"benchmark-{self.preset}-{self.experts}"
        return engine_named(self.engine).make(KPrism(config).eval(), name, threads)

    @property
    def precision(self) -> str:
        """In which precision the engine computes."""
        return "bf16" if self.engine.endswith("bf16") else "fp32"


@dataclass(frozen=True)
class Bench:
    """A segmenter at work on noise of one size."""

    segmenter: Segmenter
    side: int

    def image(self, count: int = 1) -> Tensor:
        """Return canvases of noise."""
        return torch.randn(count, 3, self.side, self.side)

    def encode(self) -> Work:
        """Encode one canvas."""
        image = self.image()
        return lambda: self.segmenter.encode(image)

    def semantic(self, classes: int) -> Work:
        """Encode a canvas and decode so many classes, in chunks bounded by memory."""
        image = self.image()
        return lambda: self.decode_classes(self.segmenter.encode(image), classes)

    def decode_classes(self, features: Features, classes: int) -> None:
        """Decode classes of one encoding and keep masks, chunk by chunk."""
        chunk = max(1, CHUNK_PIXELS // self.side**2)
        for start in range(0, classes, chunk):
            concept = torch.arange(start, min(classes, start + chunk)) % CLASSES
            here = features.select(torch.zeros_like(concept))
            decoded = self.segmenter.decode(here, Prompts(concept=concept))
            _ = canvas_logits(decoded, (self.side, self.side)) >= 0

    def references(self, count: int) -> ReferenceFeatures:
        """Encode one example and repeat it."""
        mask = (torch.rand(1, 1, self.side, self.side) > 0.7).float()
        one = self.segmenter.encode_references(
            self.image()[None], mask, torch.ones(1, 1, dtype=torch.bool)
        )
        return ReferenceFeatures.concatenate([one] * count)

    def in_context(self, count: int) -> Work:
        """Encode a canvas and segment by so many examples, which were encoded before."""
        image, references = self.image(), self.references(count)
        return lambda: self.segmenter.decode(
            self.segmenter.encode(image), Prompts(references=references)
        )

    def decode(self, *, concept: bool, clicks: int, examples: int = 0) -> Work:
        """Decode one request of a make-up; its queries are 2 a class, 1 a click, 6 of examples."""
        features = self.segmenter.encode(self.image())
        prompts = Prompts(
            concept=torch.zeros(1, dtype=torch.int64) if concept else None,
            references=self.references(examples) if examples else None,
            clicks=self.clicks(clicks) if clicks else None,
            dense=torch.rand(1, 3, self.side, self.side) if clicks else None,
        )
        return lambda: self.segmenter.decode(features, prompts)

    def clicks(self, count: int) -> Clicks:
        """Return clicks at random places."""
        yes = torch.ones(1, count, dtype=torch.bool)
        return Clicks(torch.rand(1, count, 2) * (self.side - 1), yes, yes)

    def session(self, count: int, *, encodes_each: bool = False) -> Work:
        """Encode once (or every time) and click, each click with the mask of the one before."""
        image = self.image()
        given = [self.clicks(number) for number in range(1, count + 1)]

        def work() -> None:
            features = self.segmenter.encode(image)
            dense = torch.zeros(1, 3, self.side, self.side)
            for number, clicks in enumerate(given):
                if encodes_each and number:
                    features = self.segmenter.encode(image)
                decoded = self.segmenter.decode(features, Prompts(clicks=clicks, dense=dense))
                dense = dense.clone()
                dense[:, 2] = canvas_logits(decoded, (self.side, self.side)).sigmoid()

        return work

    def volume(self, slices: int, classes: int) -> Work:
        """Encode and decode slice by slice into one label map; logits of a slice live shortly."""
        stack = torch.randint(0, 256, (slices, self.side, self.side), dtype=torch.uint8)
        chunk = max(1, CHUNK_PIXELS // self.side**2)

        def work() -> Tensor:
            labels = torch.zeros(stack.shape, dtype=torch.uint8)
            for index, plane in enumerate(stack):
                image = ((plane.float() - 127.5) / 63.75).expand(1, 3, -1, -1)
                features = self.segmenter.encode(image)
                for start in range(0, classes, chunk):
                    concept = torch.arange(start, min(classes, start + chunk)) % CLASSES
                    here = features.select(torch.zeros_like(concept))
                    decoded = self.segmenter.decode(here, Prompts(concept=concept))
                    found = canvas_logits(decoded, (self.side, self.side)) >= 0
                    for number, mask in zip(concept.tolist(), found, strict=True):
                        labels[index][mask] = number + 1
            return labels

        return work


@contextmanager
def literal_form() -> Iterator[None]:
    """Force attention of every pixel for every expert: the form of the equations."""
    with mock.patch("medprism.models.blocks.attention.literal_is_cheaper", lambda *_: True):
        yield


def literal_session(bench: Bench, clicks: int) -> Work:
    """Return a session in the literal form, with nothing cached: every click encodes anew."""
    work = bench.session(clicks, encodes_each=True)

    def literally() -> None:
        with literal_form():
            work()

    return literally
