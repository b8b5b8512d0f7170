from __future__ import annotations

import pytest
import torch

from medprism.models.tpseg.kernels import KernelGenerator, convolve_each
from tests.models.largest import largest_tensor

from . import literal
from .scene import worst


@pytest.mark.parametrize("experts", [1, 2, 6])
def test_one_grouped_convolution_is_the_mixture_of_all_experts(experts: int) -> None:
    torch.manual_seed(1)
    generator = KernelGenerator(5, experts, 0.3).double()
    x, summary = torch.randn(3, 5, 6, 9).double(), 4 * torch.randn(3, 5).double()
    found = convolve_each(x, generator(summary))
    assert worst(found, literal.mix_convolutions(generator, x, summary)) < 1e-12
    assert worst(found, x) > 0.01


def test_without_a_share_of_generated_kernels_nothing_changes() -> None:
    generator = KernelGenerator(4, 3, 0.3)
    with torch.no_grad():
        generator.blend.zero_()
    x = torch.randn(2, 4, 5, 7)
    assert worst(convolve_each(x, generator(torch.randn(2, 4))), x) < 1e-6


def test_no_map_larger_than_the_input_is_made() -> None:
    generator = KernelGenerator(8, 6, 0.3)
    x, summary = torch.randn(2, 8, 40, 48), torch.randn(2, 8)
    assert largest_tensor(lambda: convolve_each(x, generator(summary))) == x.numel()


def test_half_precision_is_convolved_in_full() -> None:
    x, kernels = torch.randn(1, 3, 5, 6), torch.randn(1, 3, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve_each(x.bfloat16(), kernels)
    assert found.dtype == torch.float32
    assert worst(found, convolve_each(x.bfloat16().float(), kernels)) < 1e-6
