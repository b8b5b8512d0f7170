from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError
from torch import nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.residual import PointwiseConv, ResidualBlock, make_norm


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


@pytest.mark.parametrize("size", [(8, 12), (9, 7), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_strided_pointwise_convolution_is_the_library_s(
    size: tuple[int, int], stride: int
) -> None:
    torch.manual_seed(3)
    x = torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True)
    conv = PointwiseConv(5, 4, stride).double()
    literal = F.conv2d(x, conv.weight, None, stride)
    answer = conv(x)
    assert torch.allclose(answer, literal, atol=1e-12)
    towards = torch.randn_like(literal)
    wanted = torch.autograd.grad(literal, (x, conv.weight), towards)
    for ours, theirs in zip(
        torch.autograd.grad(answer, (x, conv.weight), towards), wanted, strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-12)


# In a process of its own: with the library's strided convolution it dies.
_STEPS_WITH_TWO_THREADS = """
import torch
from medprism.models.blocks.residual import ResidualBlock
torch.set_num_threads(2)
torch.manual_seed(0)
block = ResidualBlock(8, 16, 2, "group")
for _ in range(30):
    x = torch.randn(5, 8, 32, 32).contiguous(memory_format=torch.channels_last)
    block(x.requires_grad_()).square().sum().backward()
print("alive")
"""


def test_two_threads_may_train_a_block_of_few_channels() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MALLOC_CHECK_": "3"}
    command = [sys.executable, "-c", _STEPS_WITH_TWO_THREADS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-500:]
