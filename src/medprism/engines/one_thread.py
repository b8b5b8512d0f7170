"""A model whose calculations all happen on one thread, whoever asks.

PyTorch and oneDNN keep several MB, and a team of threads of their own, for every thread that has
run a network. A server answers from dozens of threads that come and go; its memory then grows with
each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medprism.engines.loaded import LoadedModel
from medprism.models.segmenter import (
    Accepts,
    Decoded,
    Features,
    Prompts,
    ReferenceFeatures,
    Segmenter,
)

_Value = TypeVar("_Value")


class ModelThread:
    """One thread on which any number of models calculate, one call at a time, as they come."""

    def __init__(self) -> None:
        self._lane = ThreadPoolExecutor(1, thread_name_prefix="model")

    def host(self, model: LoadedModel) -> LoadedModel:
        """Return a model that gives the same answers and calculates on this thread."""
        return replace(model, segmenter=_Hosted(model.segmenter, self))

    def run(self, work: Callable[[], _Value]) -> _Value:
        """Return what `work` returns, or raise what it raises.

        Whether gradients are wanted is the caller's choice, as if it ran here.
        """
        is_inference = torch.is_inference_mode_enabled()
        wants_gradients = torch.is_grad_enabled()

        def as_asked() -> _Value:
            with torch.inference_mode(is_inference), torch.set_grad_enabled(wants_gradients):
                return work()

        return self._lane.submit(as_asked).result()

    def shut_down(self) -> None:
        """Finish the call at hand and end the thread; what comes later is an error."""
        self._lane.shutdown(wait=True)


class _Hosted:
    """A segmenter on the thread of models."""

    def __init__(self, segmenter: Segmenter, thread: ModelThread) -> None:
        self._segmenter, self._thread = segmenter, thread

    @property
    def spatial_dims(self) -> int:
        """As the segmenter says."""
        return self._segmenter.spatial_dims

    @property
    def accepts(self) -> Accepts:
        """As the segmenter says."""
        return self._segmenter.accepts

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        return self._thread.run(lambda: self._segmenter.encode(image))

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1)."""
        return self._thread.run(lambda: self._segmenter.encode_references(image, mask, valid))

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`."""
        return self._thread.run(lambda: self._segmenter.decode(features, prompts))
