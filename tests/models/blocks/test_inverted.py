"""The trunk's blocks against their literal forms."""

import pytest
import torch
import torch.nn.functional as F

from medprism.core.errors import ConfigError
from medprism.models.blocks.inverted import (
    DepthwiseConv,
    InvertedBlock,
    SamePadConv,
    Trunk,
    TrunkStage,
)

STAGES = (
    TrunkStage(width=4, repeats=1, kernel=3, stride=1, expand=1),
    TrunkStage(width=6, repeats=2, kernel=5, stride=2, expand=3),
    TrunkStage(width=7, repeats=1, kernel=3, stride=1, expand=2),
    TrunkStage(width=9, repeats=1, kernel=3, stride=2, expand=2),
)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 3)])
def test_positions_are_where_tensorflow_puts_them(
    kernel: int, stride: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    conv = SamePadConv(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    out = conv(x)
    assert out.shape[-2:] == tuple(-(-side // stride) for side in size)
    # Each output position by hand: TensorFlow's first window begins at -floor(total / 2).
    for row in range(out.shape[-2]):
        for col in range(out.shape[-1]):
            total = conv.bias.clone()
            for i in range(kernel):
                for j in range(kernel):
                    r = row * stride + i - _before(size[0], kernel, stride)
                    c = col * stride + j - _before(size[1], kernel, stride)
                    if 0 <= r < size[0] and 0 <= c < size[1]:
                        total += conv.weight[:, :, i, j] @ x[0, :, r, c]
            assert torch.allclose(out[0, :, row, col], total, atol=1e-12)


def _before(size: int, kernel: int, stride: int) -> int:
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + kernel - size, 0) // 2


def test_depthwise_stays_in_float32_under_autocast() -> None:
    conv = DepthwiseConv(4, 5, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.randn(1, 4, 9, 9).bfloat16()).dtype == torch.float32


def test_a_block_is_widen_mix_narrow_and_a_residual() -> None:
    torch.manual_seed(2)
    block = InvertedBlock(5, TrunkStage(width=5, repeats=1, kernel=3, stride=1, expand=4), 1)
    x = torch.randn(2, 5, 6, 7)
    wide = F.conv2d(x, block.expand[0].weight, block.expand[0].bias).clamp(0, 6)
    deep = block.depthwise
    mixed = F.conv2d(wide, deep.weight, deep.bias, padding=1, groups=20).clamp(0, 6)
    narrow = F.conv2d(mixed, block.project.weight, block.project.bias)
    assert torch.allclose(block(x), x + narrow, atol=1e-6)


def test_no_residual_where_the_shape_changes() -> None:
    stage = TrunkStage(width=6, repeats=1, kernel=3, stride=1, expand=2)
    assert not InvertedBlock(5, stage, 1).keeps_shape
    assert not InvertedBlock(6, stage, 2).keeps_shape
    assert InvertedBlock(6, stage, 1).keeps_shape


def test_trunk_returns_the_last_map_of_every_scale() -> None:
    trunk = Trunk(3, 8, STAGES)
    maps = trunk(torch.randn(1, 3, 48, 80))
    assert trunk.widths == (4, 7, 9)
    assert [tuple(m.shape[1:]) for m in maps] == [(4, 24, 40), (7, 12, 20), (9, 6, 10)]
    assert all(m.is_contiguous() for m in maps)


def test_trunk_does_not_mix_the_images_of_a_batch() -> None:
    torch.manual_seed(3)
    trunk = Trunk(3, 8, STAGES)
    x = torch.randn(3, 3, 32, 32)
    for alone, together in zip(trunk(x[1:2]), trunk(x), strict=True):
        assert torch.allclose(alone[0], together[1], atol=1e-5)


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0},
        {"width": 10**9},
        {"kernel": 4},
        {"stride": 3},
        {"expand": 1.5},
    ],
)
def test_senseless_stages_are_refused(fields: dict[str, int]) -> None:
    good = {"width": 8, "repeats": 1, "kernel": 3, "stride": 1, "expand": 2}
    with pytest.raises((ConfigError, TypeError)):
        TrunkStage(**{**good, **fields})
