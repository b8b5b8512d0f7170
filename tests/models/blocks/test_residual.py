from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError
from torch import nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.residual import ResidualBlock, make_norm


@pytest.mark.parametrize(
    ("channels", "groups"), [(3, 1), (4, 1), (8, 1), (16, 2), (24, 3), (64, 8), (12, 1), (20, 2)]
)
def test_groups_have_about_8_channels_and_divide_them(channels: int, groups: int) -> None:
    norm = make_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups
    assert channels % groups == 0


def test_batch_norm_is_the_other_choice_and_nothing_else() -> None:
    assert isinstance(make_norm("batch", 48), nn.BatchNorm2d)
    # With the type checker on, as in the tests, it is first; settings from a file meet the rule.
    with pytest.raises((ConfigError, TypeCheckError)):
        make_norm("layer", 48)  # type: ignore[arg-type]


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(6, 6, 1), (6, 10, 1), (6, 6, 2)])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_block_is_its_formula(inputs: int, outputs: int, stride: int, norm: str) -> None:
    torch.manual_seed(2)
    block = ResidualBlock(inputs, outputs, stride, norm).eval()  # type: ignore[arg-type]
    x = torch.randn(2, inputs, 8, 12)
    hidden = F.conv2d(F.relu(block.norm1(x)), block.conv1.weight, None, stride, 1)
    hidden = F.conv2d(F.relu(block.norm2(hidden)), block.conv2.weight, None, 1, 1)
    expected = hidden
    if (inputs, stride) != (outputs, 1):
        assert isinstance(block.shortcut, nn.Sequential)
        kernel = block.shortcut[2].weight
        assert isinstance(kernel, torch.Tensor)
        expected = hidden + F.conv2d(F.relu(block.shortcut[0](x)), kernel, None, stride)
    else:
        expected = hidden + x
    assert torch.allclose(block(x), expected, atol=1e-6)
    assert all(module.bias is None for module in block.modules() if isinstance(module, nn.Conv2d))
