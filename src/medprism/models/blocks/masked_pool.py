"""Features under a full-resolution mask, pooled without upsampling the features.

Iris upsamples the features to the resolution of the mask, masks there and pools [Iris, Sec. 3].
Linear upsampling is linear and its weights add up to 1, so the mean equals one over the coarse
positions, each weighted by the adjoint of upsampling applied to the mask. Nothing with channels is
ever as large as the image.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.models.blocks.grid import positions, size_of, upsampling_adjoint

# "area" divides by the area of the mask, "space" by that of the image (so the area stays in it).
PoolKind = Literal["area", "space"]


def check_pool(kind: str) -> None:
    """Refuse an unknown way of pooling.

    Raises:
        ConfigError: `kind` is neither "area" nor "space".
    """
    if kind not in get_args(PoolKind):
        raise ConfigError(f"pooling {kind!r} is unknown; use 'area' or 'space'")


def pool_under_masks(
    features: Float[Tensor, "batch channels ..."],
    masks: Float[Tensor, "batch classes ..."],
    kind: PoolKind = "area",
) -> Float[Tensor, "batch classes channels"]:
    """Return the mean of the linearly upsampled features under every mask (coverage in 0..1).

    An empty mask gives zeros.

    >>> features = torch.tensor([[[[1.0, 3.0]]]])
    >>> masks = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]])
    >>> pool_under_masks(features, masks).item()
    2.0
    """
    if not torch.amp.is_autocast_available(features.device.type):
        return _pool(features, masks, kind)
    # Sums over a whole image: autocast would run them in 8 bits of precision.
    with torch.autocast(features.device.type, enabled=False):
        return _pool(features, masks, kind)


def _pool(
    features: Float[Tensor, "batch channels ..."],
    masks: Float[Tensor, "batch classes ..."],
    kind: PoolKind,
) -> Float[Tensor, "batch classes channels"]:
    precise = torch.promote_types(features.dtype, torch.float32)
    weight = upsampling_adjoint(masks.to(precise), size_of(features)).flatten(2)
    total = weight @ features.to(precise).flatten(2).transpose(1, 2)
    if kind == "space":
        pooled = total / positions(size_of(masks))
    else:
        area = weight.sum(-1, keepdim=True)
        pooled = total / torch.where(area > 0, area, torch.ones_like(area))
    return pooled.to(features.dtype)
