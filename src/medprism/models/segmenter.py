"""The contract every model fulfils, and the values that pass through it.

Encodings are dataclasses of plain tensors: they can be cached, saved, moved and concatenated.
Encode and decode are pure: no module keeps a cache, a counter or a statistic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

# Not typing.Self, which beartype refuses on a method of a class it did not decorate.
Value = TypeVar("Value", bound="TensorValue")


class TensorValue:
    """A frozen dataclass whose fields are tensors or tuples of tensors."""

    def map(self: Value, change: Callable[[Tensor], Tensor]) -> Value:
        """Return a copy with every tensor changed alike (moved, cast, indexed)."""
        changed: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                changed[field.name] = tuple(change(item) for item in value)
            else:
                changed[field.name] = change(value)
        return replace(self, **changed)  # type: ignore[type-var]

    @property
    def num_bytes(self) -> int:
        """Memory held by the tensors."""
        total = 0
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            items = value if isinstance(value, tuple) else (value,)
            total += sum(item.numel() * item.element_size() for item in items)
        return total


@dataclass(frozen=True, eq=False)
class Features(TensorValue):
    """An encoded batch of slices or volumes: maps from fine to coarse, the last one at 1/16."""

    maps: tuple[Float[Tensor, "images _ _ ..."], ...]

    def select(self, index: Int64[Tensor, " requests"]) -> Features:
        """Return the features each request looks at."""
        return self.map(lambda tensor: tensor.index_select(0, index.to(tensor.device)))


@dataclass(frozen=True, eq=False)
class ReferenceFeatures(TensorValue):
    """Encoded references of a batch of requests; several references are one longer value.

    `keys` and `values` hold the positions at 1/16 of all references, `valid` marks real ones.
    `summary` and `weight` are the numerator and denominator of the pooled queries [KPrism, Eq. 7],
    so that pooling over more references is a sum.
    """

    keys: Float[Tensor, "requests positions channels"]
    values: Float[Tensor, "requests positions contents"]
    valid: Bool[Tensor, "requests positions"]
    summary: Float[Tensor, "requests scales queries dim"]
    weight: Float[Tensor, "requests scales queries"]

    @staticmethod
    def concatenate(parts: list[ReferenceFeatures]) -> ReferenceFeatures:
        """Join references of the same requests, in any order."""
        return ReferenceFeatures(
            keys=torch.cat([part.keys for part in parts], dim=1),
            values=torch.cat([part.values for part in parts], dim=1),
            valid=torch.cat([part.valid for part in parts], dim=1),
            summary=torch.stack([part.summary for part in parts]).sum(0),
            weight=torch.stack([part.weight for part in parts]).sum(0),
        )


@dataclass(frozen=True, eq=False)
class Clicks(TensorValue):
    """Point queries on the canvas, padded: position (row, col) in canvas pixels."""

    position: Float[Tensor, "requests clicks 2"]
    is_positive: Bool[Tensor, "requests clicks"]
    valid: Bool[Tensor, "requests clicks"]


@dataclass(frozen=True, eq=False)
class Prompts:
    """What is asked about each encoded image; an absent member is None.

    One value holds requests of one make-up (which members are present); that is the "mode".
    `concept` is the row of the class table. `dense` has three canvas maps: positive marks,
    negative marks, previous probability.
    """

    concept: Int64[Tensor, " requests"] | None = None
    references: ReferenceFeatures | None = None
    clicks: Clicks | None = None
    dense: Float[Tensor, "requests 3 height width"] | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """Logits of every request: the final map and the outputs that deep supervision sees.

    All maps are raw scores on grids that divide the canvas; `logits` is the finest.
    """

    logits: Float[Tensor, "requests height width"]
    auxiliary: tuple[Float[Tensor, "requests _ _"], ...]


def canvas_logits(
    decoded: Decoded, canvas: tuple[int, int]
) -> Float[Tensor, "requests height width"]:
    """Bring the final logits to the canvas, bilinear, in float32."""
    logits = decoded.logits[:, None].float()
    if logits.shape[-2:] != canvas:
        logits = F.interpolate(logits, canvas, mode="bilinear", align_corners=False)
    return logits[:, 0]


@dataclass(frozen=True)
class Accepts:
    """Which kinds of knowledge a model can use."""

    classes: bool
    references: bool
    clicks: bool
    tasks: bool = False


@runtime_checkable
class Segmenter(Protocol):
    """Encode images and references once, decode any number of requests."""

    @property
    def spatial_dims(self) -> int:
        """2 for slices, 3 for volumes."""

    @property
    def accepts(self) -> Accepts:
        """What the model can be asked with."""

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1)."""

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`."""
