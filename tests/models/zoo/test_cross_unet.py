from __future__ import annotations

from functools import partial

import pytest
import torch

from medprism.models.zoo.cross_unet import CrossBlock, CrossUNet, mean_of_valid


def make(ndim: int = 2) -> CrossUNet:
    torch.manual_seed(1)
    return CrossUNet(partial(CrossBlock, ndim), (2, 3), (5, 6, 7), ndim=ndim)


def draw(refs: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(6)
    return torch.randn(2, 2, 16, 24), torch.randn(2, refs, 3, 16, 24)


def test_a_cross_block_is_its_formula_reference_by_reference() -> None:
    torch.manual_seed(2)
    block = CrossBlock(2, 3, 4, 5)
    assert block.reference is not None
    query, references = torch.randn(1, 3, 6, 8), torch.randn(1, 2, 4, 6, 8)
    leak = torch.nn.functional.leaky_relu
    crossed = [leak(block.cross(torch.cat([query, references[:, n]], 1))) for n in (0, 1)]
    found, after = block(query, references)
    torch.testing.assert_close(found, leak(block.query((crossed[0] + crossed[1]) / 2)))
    torch.testing.assert_close(after[:, 1], leak(block.reference(crossed[1])))


@pytest.mark.parametrize("real", [(0, 1, 2), (0, 2), (1,)])
def test_the_mean_is_that_of_the_valid_references_alone(real: tuple[int, ...]) -> None:
    references = draw()[1]
    valid = torch.tensor([[n in real for n in range(3)]] * 2)
    literal = torch.stack([references[:, n] for n in real]).mean(0)
    torch.testing.assert_close(mean_of_valid(references, valid), literal)
    if len(real) == 3:
        torch.testing.assert_close(mean_of_valid(references), literal)
    assert not mean_of_valid(references, torch.zeros_like(valid)).any()


@pytest.mark.parametrize("place", [0, 1, 3])
def test_padding_is_as_if_it_were_not_there(place: int) -> None:
    model, (query, references) = make(), draw()
    literal = model.segment(query, references)
    noise = torch.full((2, 1, 3, 16, 24), 9.0)
    padded = torch.cat([references[:, :place], noise, references[:, place:]], 1)
    valid = torch.arange(4).repeat(2, 1) != place
    torch.testing.assert_close(model.segment(query, padded, valid), literal, atol=1e-5, rtol=1e-5)
    # The noise does matter where it counts.
    assert float((model.segment(query, padded) - literal).detach().abs().max()) > 1e-3


def test_every_row_may_have_its_own_number_of_references() -> None:
    model, (query, references) = make(), draw()
    valid = torch.tensor([[True, True, False], [True, False, False]])
    together = model.segment(query, references, valid)
    first = model.segment(query[:1], references[:1, :2])
    second = model.segment(query[1:], references[1:, :1])
    torch.testing.assert_close(together, torch.cat([first, second]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_last_block_makes_nothing_that_nobody_reads(ndim: int) -> None:
    model = make(ndim)
    size = (8, 8, 16)[-ndim:]
    model.segment(torch.randn(1, 2, *size), torch.randn(1, 2, 3, *size)).square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
