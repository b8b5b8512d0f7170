from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.grid import (
    crop_to,
    halve,
    interpolation_matrix,
    make_conv,
    pad_to_multiple,
    resize_linear,
    space_to_depth,
    upsampling_adjoint,
)
from tests.models.iris.literal import pixel_shuffle, pixel_unshuffle

COARSE = {2: (3, 5), 3: (2, 3, 4)}


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_adjoint_moves_upsampling_to_the_other_side(ndim: int) -> None:
    torch.manual_seed(1)
    for factor in (1, 2, 4):
        fine = tuple(side * factor for side in COARSE[ndim])
        u = torch.randn(2, 3, *COARSE[ndim], dtype=torch.float64)
        y = torch.randn(2, 3, *fine, dtype=torch.float64)
        direct = (resize_linear(u, fine) * y).sum()
        moved = (u * upsampling_adjoint(y, COARSE[ndim])).sum()
        torch.testing.assert_close(direct, moved, atol=1e-10, rtol=0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_adjoint_is_the_gradient_that_autograd_finds(ndim: int) -> None:
    u = torch.randn(1, 2, *COARSE[ndim], dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 2, *(4 * side for side in COARSE[ndim]), dtype=torch.float64)
    mode = "bilinear" if ndim == 2 else "trilinear"
    wide = F.interpolate(u, y.shape[2:], mode=mode, align_corners=False)
    (gradient,) = torch.autograd.grad((wide * y).sum(), u)
    torch.testing.assert_close(upsampling_adjoint(y, COARSE[ndim]), gradient, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("coarse", "fine"), [(4, 16), (3, 3), (1, 8), (5, 12)])
def test_rows_of_the_interpolation_matrix_add_up_to_one(coarse: int, fine: int) -> None:
    matrix = interpolation_matrix(coarse, fine, device=torch.device("cpu"), dtype=torch.float64)
    torch.testing.assert_close(matrix.sum(1), torch.ones(fine, dtype=torch.float64))
    u = torch.randn(1, 1, coarse, 1, dtype=torch.float64)
    wide = F.interpolate(u, (fine, 1), mode="bilinear", align_corners=False)
    torch.testing.assert_close((matrix @ u[0, 0])[:, 0], wide[0, 0, :, 0])


@pytest.mark.parametrize("ndim", [2, 3])
def test_space_to_depth_is_pixel_unshuffle(ndim: int) -> None:
    x = torch.randn(2, 3, *(4 * side for side in COARSE[ndim]))
    ours = space_to_depth(x, 4).flatten(1, 2)
    assert torch.equal(ours, pixel_unshuffle(x, 4))
    assert torch.equal(pixel_shuffle(ours, 4), x)
    if ndim == 2:
        assert torch.equal(ours, F.pixel_unshuffle(x, 4))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("fill", ["edge", "zero"])
def test_padding_is_undone_and_only_where_it_is_needed(ndim: int, fill: str) -> None:
    x = torch.randn(1, 2, *(17, 16, 5)[:ndim])
    padded = pad_to_multiple(x, 16, fill)  # type: ignore[arg-type]
    assert tuple(padded.shape[2:]) == (32, 16, 16)[:ndim]
    assert torch.equal(crop_to(padded, tuple(x.shape[2:])), x)
    corner = x[0, 1][(-1,) * ndim]
    assert float(padded[0, 1][(-1,) * ndim]) == (float(corner) if fill == "edge" else 0.0)
    assert pad_to_multiple(padded, 16, "edge") is padded


def test_a_convolution_keeps_the_size_or_covers_it() -> None:
    for ndim, kind in ((2, nn.Conv2d), (3, nn.Conv3d)):
        x = torch.randn(1, 2, *(8, 12, 4)[:ndim])
        conv = make_conv(ndim, 2, 5, 3)
        assert isinstance(conv, kind)
        assert conv.bias is None
        assert conv(x).shape == (1, 5, *x.shape[2:])
        covered = make_conv(ndim, 2, 5, 4, stride=4, bias=True)(x)
        assert covered.shape == (1, 5, *(side // 4 for side in x.shape[2:]))
        assert halve(x).shape == (1, 2, *(side // 2 for side in x.shape[2:]))


@pytest.mark.parametrize("ndim", [1, 4])
def test_other_numbers_of_axes_are_refused(ndim: int) -> None:
    with pytest.raises(ConfigError, match="2 .slices. or 3"):
        make_conv(ndim, 2, 2, 3)
