"""Operations on pixel and voxel grids in which the number of axes is a number.

The same code serves slices (2 axes) and volumes (3 axes); tensors are channels first.
"""

from __future__ import annotations

from math import prod
from typing import Final, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medprism.core.errors import ConfigError

Grid = Float[Tensor, "batch channels ..."]

_LINEAR: Final = {2: "bilinear", 3: "trilinear"}
_DEEPEN: Final = {
    2: "b c (h i) (w j) -> b c (i j) h w",
    3: "b c (d i) (h j) (w k) -> b c (i j k) d h w",
}


def check_ndim(ndim: int) -> None:
    """Refuse anything but pixels and voxels.

    Raises:
        ConfigError: `ndim` is neither 2 nor 3.
    """
    if type(ndim) is not int or ndim not in _LINEAR:
        raise ConfigError(f"ndim must be 2 (slices) or 3 (volumes), got {ndim!r}")


def make_conv(
    ndim: int, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = False
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution that keeps the size at stride 1 (odd kernels) on `ndim` axes.

    A kernel as large as its stride covers the grid without overlap and without padding.

    Raises:
        ConfigError: `ndim` is neither 2 nor 3.
    """
    check_ndim(ndim)
    kind = nn.Conv2d if ndim == 2 else nn.Conv3d
    padding = 0 if kernel == stride else kernel // 2
    return kind(inputs, outputs, kernel, stride, padding, bias=bias)


def size_of(x: Grid) -> tuple[int, ...]:
    """Return the size of the grid, without batch and channels.

    >>> size_of(torch.zeros(1, 2, 3, 4, 5))
    (3, 4, 5)
    """
    return tuple(x.shape[2:])


def halve(x: Grid) -> Grid:
    """Take the largest value of every 2 x 2 (x 2) cell."""
    return F.max_pool2d(x, 2) if x.ndim == 4 else F.max_pool3d(x, 2)


def resize_linear(x: Grid, size: tuple[int, ...]) -> Grid:
    """Interpolate bilinearly or trilinearly; pixel centres at halves, the border replicated."""
    if size_of(x) == size:
        return x
    return F.interpolate(x, size, mode=_LINEAR[x.ndim - 2], align_corners=False)


def space_to_depth(x: Grid, factor: int) -> Float[Tensor, "batch channels cells ..."]:
    """Move the `factor` ** ndim sub-pixels of each cell into an axis of their own.

    Joined with the channels before it, that axis is laid out like PixelUnshuffle's.

    >>> space_to_depth(torch.arange(4.0).reshape(1, 1, 2, 2), 2).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    pattern = _DEEPEN[x.ndim - 2]
    factors = dict.fromkeys("ijk"[: x.ndim - 2], factor)
    return rearrange(x, pattern, **factors)


def pad_to_multiple(x: Grid, multiple: int, fill: Literal["edge", "zero"]) -> Grid:
    """Extend the far ends until every side is a multiple; nothing is done where it is already.

    >>> tuple(pad_to_multiple(torch.zeros(1, 1, 16, 17), 16, "edge").shape)
    (1, 1, 16, 32)
    """
    pads = [amount for side in reversed(size_of(x)) for amount in (0, -side % multiple)]
    if not any(pads):
        return x
    return F.pad(x, pads, mode="replicate") if fill == "edge" else F.pad(x, pads)


def crop_to(x: Grid, size: tuple[int, ...]) -> Grid:
    """Undo `pad_to_multiple`: keep the first positions of every axis."""
    for axis, side in enumerate(size, start=2):
        x = x.narrow(axis, 0, side)
    return x


def interpolation_matrix(
    coarse: int, fine: int, *, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "fine coarse"]:
    """Return the matrix by which `resize_linear` multiplies one axis; every row adds up to 1.

    >>> interpolation_matrix(2, 4, device=torch.device("cpu"), dtype=torch.float32)[1].tolist()
    [0.75, 0.25]
    """
    centre = (torch.arange(fine, device=device, dtype=dtype) + 0.5) * (coarse / fine) - 0.5
    place = centre.clamp(0, coarse - 1)
    knots = torch.arange(coarse, device=device, dtype=dtype)
    return (1 - (place[:, None] - knots).abs()).clamp(min=0)


def upsampling_adjoint(fine: Grid, size: tuple[int, ...]) -> Grid:
    """Apply the transpose of linear upsampling from `size` to the grid of `fine`.

    For every map u on the coarse grid, sum(resize_linear(u) * fine) = sum(u * adjoint(fine)): what
    each coarse position contributes to a weighted sum over the fine grid [Iris, Sec. 3].

    >>> float(upsampling_adjoint(torch.ones(1, 1, 8, 8), (2, 2)).sum())
    64.0
    """
    x = fine
    for axis, coarse in enumerate(size, start=2):
        # The axis that is last after the others were done moves to the end of the queue.
        matrix = interpolation_matrix(coarse, fine.shape[axis], device=x.device, dtype=x.dtype)
        x = x.movedim(2, -1) @ matrix
    return x


def positions(size: tuple[int, ...]) -> int:
    """Return the number of positions of a grid.

    >>> positions((3, 4, 5))
    60
    """
    return prod(size)
