"""The paper's formulas as they are written, at full resolution: oracles of the cheap forms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from medprism.models.iris.task_encoder import ShuffledMask


def upsample_mask_pool(features: Tensor, masks: Tensor) -> Tensor:
    """T_f = sum(Upsample(F) * y) / sum(y), one class after another."""
    size = tuple(masks.shape[2:])
    mode = "bilinear" if len(size) == 2 else "trilinear"
    wide = F.interpolate(features, size, mode=mode, align_corners=False)
    pooled = []
    for index in range(masks.shape[1]):
        mask = masks[:, index : index + 1]
        total = (wide * mask).flatten(2).sum(-1)
        area = mask.flatten(2).sum(-1)
        pooled.append(torch.where(area > 0, total / area.clamp(min=1e-30), torch.zeros_like(total)))
    return torch.stack(pooled, 1)


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Do what torch.nn.functional.pixel_shuffle does, in 2-D or 3-D, by loops over sub-pixels."""
    ndim = x.ndim - 2
    cells = factor**ndim
    channels = x.shape[1] // cells
    out = x.new_zeros(x.shape[0], channels, *(side * factor for side in x.shape[2:]))
    for cell in range(cells):
        offsets = [(cell // factor**axis) % factor for axis in reversed(range(ndim))]
        places = (..., *(slice(offset, None, factor) for offset in offsets))
        out[places] = x[:, cell::cells]
    return out


def pixel_unshuffle(x: Tensor, factor: int) -> Tensor:
    """Undo `pixel_shuffle`."""
    ndim = x.ndim - 2
    cells = factor**ndim
    out = x.new_zeros(x.shape[0], x.shape[1] * cells, *(side // factor for side in x.shape[2:]))
    for cell in range(cells):
        offsets = [(cell // factor**axis) % factor for axis in reversed(range(ndim))]
        places = (..., *(slice(offset, None, factor) for offset in offsets))
        out[:, cell::cells] = x[places]
    return out


def shuffle_concat_convolve(module: ShuffledMask, features: Tensor, masks: Tensor) -> Tensor:
    """PixelUnshuffle(Conv1x1(Concat[PixelShuffle(F), y])), one class after another."""
    fine = pixel_shuffle(module.widen(features), module.stride)
    ndim = features.ndim - 2
    kernel = module.merge.weight.reshape(*module.merge.weight.shape, *(1,) * ndim)
    convolve = F.conv2d if ndim == 2 else F.conv3d
    outputs = []
    for index in range(masks.shape[1]):
        joined = torch.cat([fine, masks[:, index : index + 1]], 1)
        mixed = convolve(joined, kernel, module.merge.bias)
        outputs.append(module.narrow(pixel_unshuffle(mixed, module.stride)))
    return torch.stack(outputs, 1)
