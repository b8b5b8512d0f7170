"""The trunk of SAM 2 as its authors name its parts, and what it computes, position by position."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from medprism.models.tpseg.config import HieraConfig

PREFIX: Final = "image_encoder.trunk."
# What else stands in the official files, and must not disturb.
OTHERS: Final = {
    "image_encoder.neck.convs.0.conv.weight": (4, 64, 1, 1),
    "no_mem_embed": (1, 1, 8),
    "sam_mask_decoder.iou_token.weight": (1, 8),
}


@dataclass(frozen=True)
class Official:
    """The settings of a trunk by SAM 2's own names."""

    embed_dim: int
    num_heads: int
    stages: tuple[int, int, int, int]
    global_att_blocks: tuple[int, ...]
    background: int
    window_spec: tuple[int, int, int, int]

    def ours(self, **changes: Any) -> HieraConfig:  # noqa: ANN401
        """Return the same settings by our names."""
        return HieraConfig(
            **{
                "embed": self.embed_dim,
                "heads": self.num_heads,
                "blocks": self.stages,
                "windows": self.window_spec,
                "global_blocks": self.global_att_blocks,
                "place_grid": self.background,
                "pixels": "imagenet",
                **changes,
            }
        )


LARGE: Final = Official(144, 2, (2, 6, 36, 4), (23, 33, 43), 7, (8, 4, 16, 8))
# The shape of tpseg-nano's trunk.
NANO: Final = Official(8, 1, (1, 1, 2, 1), (3,), 7, (4, 4, 4, 2))
# Windows that do not divide the maps, of which the last are odd, and several heads and global
# blocks, as the smaller sizes of SAM 2 have them.
ODD: Final = Official(8, 2, (2, 1, 3, 2), (4, 7), 5, (4, 2, 6, 3))


def shapes_of(trunk: Official) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all tensors of a trunk."""
    dim, side = trunk.embed_dim, trunk.window_spec[0]
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, dim, trunk.background, trunk.background),
        "pos_embed_window": (1, dim, side, side),
        "patch_embed.proj.weight": (dim, 3, 7, 7),
        "patch_embed.proj.bias": (dim,),
    }
    number = 0
    for stage, repeats in enumerate(trunk.stages):
        for index in range(repeats):
            wide = dim * 2 if index == 0 and stage > 0 else dim
            block = f"blocks.{number}"
            linears = {
                "attn.qkv": (3 * wide, dim),
                "attn.proj": (wide, wide),
                "mlp.layers.0": (4 * wide, wide),
                "mlp.layers.1": (wide, 4 * wide),
            }
            if wide != dim:
                linears["proj"] = (wide, dim)
            for name, shape in linears.items():
                shapes[f"{block}.{name}.weight"] = shape
                shapes[f"{block}.{name}.bias"] = shape[:1]
            for name, size in (("norm1", dim), ("norm2", wide)):
                shapes[f"{block}.{name}.weight"] = shapes[f"{block}.{name}.bias"] = (size,)
            dim, number = wide, number + 1
    return shapes


def draw_tensors(trunk: Official, *, seed: int = 7) -> dict[str, Tensor]:
    """Draw weights at which every part of a trunk says something, positions included."""
    rng = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes_of(trunk).items():
        drawn = torch.randn(shape, generator=rng)
        if len(shape) == 2 or len(shape) == 4 and name.startswith("patch"):
            drawn = drawn * 1.5 / math.sqrt(math.prod(shape[1:]))
        elif ".norm" in name and name.endswith("weight"):
            drawn = 1 + 0.2 * drawn
        elif name.endswith("bias"):
            drawn = 0.2 * drawn
        tensors[name] = drawn
    return tensors


def write_official(
    path: Path, tensors: Mapping[str, Tensor], *, prefix: str = PREFIX, others: bool = True
) -> Path:
    """Write a file as the official ones are: the trunk among much else."""
    content = {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
    if others:
        content |= {name: torch.zeros(shape) for name, shape in OTHERS.items()}
    save_file(content, str(path))
    return path


def run_literally(trunk: Official, tensors: Mapping[str, Tensor], pixels: Tensor) -> list[Tensor]:
    """Return the four maps of one image of 0..255, channels first, by plain loops."""
    t = {name: tensor.double() for name, tensor in tensors.items()}
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
    image = (pixels.double() / 255 - mean[:, None, None]) / deviation[:, None, None]
    x = F.conv2d(
        image[None], t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=4, padding=3
    )[0]
    smooth = _bicubic(t["pos_embed"][0], x.shape[1], x.shape[2])
    window = t["pos_embed_window"][0]
    side = window.shape[1]
    for row in range(x.shape[1]):
        for col in range(x.shape[2]):
            x[:, row, col] += smooth[:, row, col] + window[:, row % side, col % side]
    x, heads, number, maps = x.permute(1, 2, 0), trunk.num_heads, 0, []
    for stage, repeats in enumerate(trunk.stages):
        for index in range(repeats):
            pools = index == 0 and stage > 0
            heads = heads * 2 if pools else heads
            window_size = trunk.window_spec[stage - 1 if pools else stage]
            if number in trunk.global_att_blocks:
                window_size = 0
            part = {
                name.removeprefix(f"blocks.{number}."): tensor
                for name, tensor in t.items()
                if name.startswith(f"blocks.{number}.")
            }
            x = _block(part, x, heads, window_size, pools=pools)
            number += 1
        maps.append(x.permute(2, 0, 1))
    return maps


def _block(t: Mapping[str, Tensor], x: Tensor, heads: int, window: int, *, pools: bool) -> Tensor:
    normed = _norm(x, t["norm1.weight"], t["norm1.bias"])
    shortcut = _linear(t, "proj", normed) if "proj.weight" in t else x
    shortcut = _pool(shortcut) if pools else shortcut
    height, width = x.shape[:2]
    rows, cols = (window or height), (window or width)
    step = 2 if pools else 1
    read = torch.zeros_like(shortcut)
    for top in range(0, height, rows):
        for left in range(0, width, cols):
            # Beyond the map a window holds zeros, which are attended to like everything else.
            cut = torch.zeros(rows, cols, x.shape[2], dtype=x.dtype)
            there = normed[top : top + rows, left : left + cols]
            cut[: there.shape[0], : there.shape[1]] = there
            found = _attend(t, cut, heads, pools=pools)
            target = read[top // step : (top + rows) // step, left // step : (left + cols) // step]
            target += found[: target.shape[0], : target.shape[1]]
    x = shortcut + read
    inner = _linear(t, "mlp.layers.0", _norm(x, t["norm2.weight"], t["norm2.bias"]))
    inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    return x + _linear(t, "mlp.layers.1", inner)


def _attend(t: Mapping[str, Tensor], cut: Tensor, heads: int, *, pools: bool) -> Tensor:
    joined = _linear(t, "attn.qkv", cut)
    dim = joined.shape[2] // 3
    query, key, value = joined[..., :dim], joined[..., dim : 2 * dim], joined[..., 2 * dim :]
    query = _pool(query) if pools else query
    size, each = query.shape, dim // heads
    flat = [part.reshape(-1, dim) for part in (query, key, value)]
    parts = []
    for head in range(heads):
        q, k, v = (part[:, head * each : (head + 1) * each] for part in flat)
        scores = torch.exp(q @ k.T / math.sqrt(each))
        parts.append(scores / scores.sum(1, keepdim=True) @ v)
    return _linear(t, "attn.proj", torch.cat(parts, dim=1).reshape(size))


def _linear(t: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6) * weight + bias


def _pool(x: Tensor) -> Tensor:
    cells = [x[row::2, col::2] for row in range(2) for col in range(2)]
    return torch.stack(cells).amax(0)


def _bicubic(x: Tensor, height: int, width: int) -> Tensor:
    """Interpolate by Keys' kernel with a = -0.75 between the centres of positions."""
    return torch.einsum("ih,chw,jw->cij", _taps(x.shape[1], height), x, _taps(x.shape[2], width))


def _taps(source: int, target: int) -> Tensor:
    weights = torch.zeros(target, source, dtype=torch.float64)
    for index in range(target):
        place = (index + 0.5) * source / target - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[index, min(max(tap, 0), source - 1)] += _keys(abs(place - tap))
    return weights


def _keys(distance: float, a: float = -0.75) -> float:
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    return 0.0
