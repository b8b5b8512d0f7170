"""Positions as vectors: sine codes of a pixel grid, random Fourier codes of points."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

# Half a period over the grid up to 16 periods: finer ones would alias on a 16 x 16 grid.
MAX_OCTAVE = 5.0


def sine_grid(
    height: int, width: int, dim: int, *, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "dim positions"]:
    """Return sine and cosine codes of the pixel centres, half the channels a direction.

    Coordinates run from 0 to 1 over the grid, so that the code does not depend on its size.
    """
    quarter = dim // 4
    octave = torch.linspace(0.0, MAX_OCTAVE, quarter, device=device)
    frequency = math.pi * 2.0**octave
    rows = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
    cols = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
    row_angle = frequency[:, None] * rows[None]
    col_angle = frequency[:, None] * cols[None]
    row_code = torch.cat([row_angle.sin(), row_angle.cos()])[:, :, None].expand(-1, -1, width)
    col_code = torch.cat([col_angle.sin(), col_angle.cos()])[:, None, :].expand(-1, height, -1)
    return rearrange(torch.cat([row_code, col_code]), "d h w -> d (h w)").to(dtype)


def sine_lattice(
    size: tuple[int, ...], dim: int, *, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "dim positions"]:
    """Return `sine_grid`'s codes on a grid of any number of axes, an equal share of channels each.

    Channels that cannot be shared out are zero. In 2-D, for widths that are multiples of four, it
    is `sine_grid` itself.
    """
    octaves = dim // (2 * len(size))
    frequency = math.pi * 2.0 ** torch.linspace(0.0, MAX_OCTAVE, octaves, device=device)
    codes = []
    for axis, side in enumerate(size):
        place = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side
        angle = frequency[:, None] * place[None]
        code = torch.cat([angle.sin(), angle.cos()])
        shape = [1] * len(size)
        shape[axis] = side
        codes.append(code.reshape(len(code), *shape).expand(-1, *size))
    joined = torch.cat(codes).flatten(1)
    rest = joined.new_zeros(dim - len(joined), joined.shape[1])
    return torch.cat([joined, rest]).to(dtype)


def fourier_points(
    position: Float[Tensor, "requests clicks 2"],
    frequencies: Float[Tensor, "2 half"],
    height: int,
    width: int,
) -> Float[Tensor, "requests clicks dim"]:
    """Return random Fourier codes of (row, col) canvas positions [KPrism, App. A; SAM].

    Pixel centres lie at integers; the canvas spans -1..1 before the random projection.
    """
    # One axis at a time: sizes put into a tensor would be constants in an exported graph.
    row = 2 * (position[..., 0] + 0.5) / height - 1
    col = 2 * (position[..., 1] + 0.5) / width - 1
    centred = torch.stack([row, col], dim=-1)
    angle = 2 * math.pi * centred @ frequencies.to(position.dtype)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
