"""PyTorch on another device or in another precision, behind the contract of a segmenter."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import (
    Accepts,
    Clicks,
    Decoded,
    Features,
    Prompts,
    ReferenceFeatures,
    TensorValue,
)

Value = TypeVar("Value", bound=TensorValue)


class TorchSegmenter:
    """A copy of a model on one device in one precision.

    Encodings stay there; images come from and logits go to the CPU in float32. Positions of clicks
    stay in float32, since half precisions cannot hold a canvas of more than 256 pixels.
    """

    def __init__(self, model: KPrism, device: torch.device, dtype: torch.dtype) -> None:
        self._model = copy.deepcopy(model).to(device=device, dtype=dtype).eval()
        self._device, self._dtype = device, dtype

    @property
    def spatial_dims(self) -> int:
        """2: slices."""
        return self._model.spatial_dims

    @property
    def accepts(self) -> Accepts:
        """What the model can be asked with."""
        return self._model.accepts

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        return self._model.encode(self._cast(image))

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1)."""
        return self._model.encode_references(
            self._cast(image), self._cast(mask), valid.to(self._device)
        )

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`."""
        decoded = self._model.decode(features.map(self._cast), self._moved(prompts))
        return decoded_on_cpu(decoded)

    def _moved(self, prompts: Prompts) -> Prompts:
        references, clicks = prompts.references, prompts.clicks
        return Prompts(
            concept=None if prompts.concept is None else prompts.concept.to(self._device),
            references=None if references is None else references.map(self._cast),
            clicks=None
            if clicks is None
            else Clicks(
                clicks.position.to(self._device),
                clicks.is_positive.to(self._device),
                clicks.valid.to(self._device),
            ),
            dense=None if prompts.dense is None else self._cast(prompts.dense),
        )

    def _cast(self, tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return tensor.to(device=self._device, dtype=self._dtype)
        return tensor.to(self._device)


def decoded_on_cpu(decoded: Decoded) -> Decoded:
    """Bring logits back to the CPU in float32."""
    return Decoded(
        decoded.logits.float().cpu(), tuple(one.float().cpu() for one in decoded.auxiliary)
    )
