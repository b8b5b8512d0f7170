from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medprism.models.tpseg.config import tpseg_base, tpseg_nano
from medprism.models.tpseg.trunk import (
    HieraBlock,
    HieraTrunk,
    from_windows,
    into_windows,
    to_imagenet,
)

from .scene import worst


@pytest.mark.parametrize(("height", "width", "side"), [(8, 12, 4), (5, 7, 4), (3, 2, 8)])
def test_windows_are_put_together_as_they_were_cut(height: int, width: int, side: int) -> None:
    x = torch.arange(2.0 * height * width * 3).reshape(2, height, width, 3)
    windows = into_windows(x, side)
    assert windows.shape == (2 * -(-height // side) * -(-width // side), side, side, 3)
    assert torch.equal(from_windows(windows, side, (height, width)), x)
    rows, cols = min(side, height), min(side, width)
    assert torch.equal(windows[0, :rows, :cols], x[0, :rows, :cols])


def attend_literally(block: HieraBlock, x: Tensor, side: int) -> Tensor:
    """Run a block without pooling window by window with PyTorch's own attention module."""
    dim = x.shape[-1]
    module = torch.nn.MultiheadAttention(dim, block.heads, batch_first=True, dtype=x.dtype)
    module.load_state_dict(
        {
            "in_proj_weight": block.project.weight,
            "in_proj_bias": block.project.bias,
            "out_proj.weight": block.combine.weight,
            "out_proj.bias": block.combine.bias,
        }
    )
    normed = block.norm1(x)
    read = torch.zeros_like(x)
    for top in range(0, x.shape[1], side):
        for left in range(0, x.shape[2], side):
            part = normed[:, top : top + side, left : left + side]
            flat = part.flatten(1, 2)
            answer = module(flat, flat, flat, need_weights=False)[0]
            read[:, top : top + side, left : left + side] = answer.reshape(part.shape)
    x = x + read
    fed: Tensor = block.outer(F.gelu(block.inner(block.norm2(x))))
    return x + fed


@pytest.mark.parametrize("window", [4, None])
def test_a_block_attends_within_its_windows(window: int | None) -> None:
    torch.manual_seed(3)
    block = HieraBlock(8, 8, 2, window, 4, pools=False).double()
    x = torch.randn(2, 8, 12, 8, dtype=torch.float64)
    assert worst(block(x), attend_literally(block, x, window or 12)) < 1e-12


def test_a_block_that_pools_halves_the_map_and_stays_in_its_windows() -> None:
    torch.manual_seed(3)
    block = HieraBlock(8, 16, 2, 4, 2, pools=True).double()
    x = torch.randn(1, 8, 12, 8, dtype=torch.float64)
    whole = block(x)
    assert whole.shape == (1, 4, 6, 16)
    changed = x.clone()
    changed[:, :4, :4] = torch.randn(1, 4, 4, 8, dtype=torch.float64)
    moved = (block(changed) - whole).abs().amax(-1)[0]
    assert moved[:2, :2].min() > 1e-6
    moved[:2, :2] = 0
    assert moved.max() == 0


def test_maps_are_as_fine_and_as_wide_as_promised() -> None:
    trunk = HieraTrunk(tpseg_nano(1).trunk)
    maps = trunk(torch.randn(2, 3, 64, 96))
    shapes = [(8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)]
    assert [tuple(one.shape[1:]) for one in maps] == shapes
    assert trunk.inputs == (8, 8, 16, 32, 32)


def test_the_base_trunk_has_the_shape_of_hiera_l() -> None:
    with torch.device("meta"):
        trunk = HieraTrunk(tpseg_base().trunk)
        maps = trunk(torch.zeros(1, 3, 512, 512))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (144, 128, 128),
        (288, 64, 64),
        (576, 32, 32),
        (1152, 16, 16),
    ]
    assert [index for index, block in enumerate(trunk.blocks) if block.window is None] == [
        23,
        33,
        43,
    ]
    # The first block of a stage still has the windows of the one before.
    assert [trunk.blocks[n].window for n in (0, 2, 3, 8, 9, 44, 45)] == [8, 8, 4, 4, 16, 16, 8]
    assert [trunk.blocks[n].heads for n in (1, 2, 8, 44)] == [2, 4, 8, 16]


def test_positions_differ_and_an_odd_grid_is_no_trouble() -> None:
    trunk = HieraTrunk(tpseg_nano(1).trunk).double()
    same = torch.ones(1, 3, 96, 160, dtype=torch.float64)
    finest = trunk(same)[0][0]
    assert finest.flatten(1).std(1).min() > 1e-3


def test_the_scale_of_imagenet_is_reached_before_the_borders_are_filled_up() -> None:
    config = tpseg_nano(1).trunk
    torch.manual_seed(3)
    centred = HieraTrunk(config).double()
    imagenet = HieraTrunk(replace(config, pixels="imagenet")).double()
    imagenet.load_state_dict(centred.state_dict())
    colours = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    given = (255 * colours - 127.5) / 63.75
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    for one, other in zip(imagenet(given), centred((colours - mean) / deviation), strict=True):
        assert worst(one, other) < 1e-10
    # Folded into the first convolution it would be wrong at the borders, which hold zeros.
    grey = to_imagenet(torch.zeros(1, 3, 4, 4, dtype=torch.float64))
    assert grey[0, :, 0, 0].tolist() == pytest.approx([0.0655, 0.1964, 0.4178], abs=1e-4)
