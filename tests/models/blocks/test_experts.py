"""Each mixture against its composition of plain torch modules, in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medprism.models.blocks.experts import (
    PixelReader,
    PixelWriter,
    QueryAttention,
    QueryFeedForward,
)

from .test_attention import DOUBLE, EXACT, as_torch, ask_torch

DIM, HEADS, REQUESTS, QUERIES, POSITIONS = 12, 3, 2, 4, 10


def shake(module: nn.Module) -> nn.Module:
    """Give every parameter a random value, biases and norms too."""
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5)
    return module.to(DOUBLE)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


queries, position = normal(REQUESTS, QUERIES, DIM, seed=1), normal(REQUESTS, QUERIES, DIM, seed=2)
pixels, grid = normal(REQUESTS, DIM, POSITIONS, seed=3), normal(DIM, POSITIONS, seed=4)
valid = torch.tensor([[True, True, False, True], [True, False, False, True]])
allowed = normal(REQUESTS, QUERIES, POSITIONS, seed=5) > 0
allowed[1, 2] = False


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max())


@pytest.mark.parametrize("experts", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("literal", [True, False, None])
@pytest.mark.parametrize("masked", [True, False])
def test_the_reader_is_a_gated_sum_with_residual_and_norm(
    experts: int, literal: bool | None, masked: bool
) -> None:
    module = PixelReader(DIM, HEADS, experts)
    shake(module)
    found = module(queries, position, pixels, grid, allowed if masked else None, literal)
    seen = torch.ones_like(allowed)
    if masked:
        seen = allowed | ~allowed.any(-1, keepdim=True)
    keys, values = (pixels + grid).transpose(1, 2), pixels.transpose(1, 2)
    gate = torch.ones(REQUESTS, QUERIES, 1, dtype=DOUBLE)
    if experts > 1:
        assert module.gate is not None
        gate = module.gate(queries).softmax(-1)
    mixed = torch.zeros_like(queries)
    for number in range(experts):
        one = ask_torch(as_torch(module.experts, number), queries + position, keys, values, seen)
        mixed = mixed + one * gate[..., number : number + 1]
    assert apart(found, module.norm(queries + mixed)) <= EXACT


@pytest.mark.parametrize("experts", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("literal", [True, False, None])
def test_the_writer_gates_every_pixel(experts: int, literal: bool | None) -> None:
    module = PixelWriter(DIM, HEADS, experts)
    shake(module)
    found = module(pixels, grid, queries, position, valid, literal)
    tokens = pixels.transpose(1, 2)
    gate = torch.ones(REQUESTS, POSITIONS, 1, dtype=DOUBLE)
    if experts > 1:
        assert module.gate is not None
        gate = module.gate(tokens).softmax(-1)
    seen = valid[:, None].expand(-1, POSITIONS, -1)
    mixed = torch.zeros_like(tokens)
    placed = (pixels + grid).transpose(1, 2)
    for number in range(experts):
        bank = as_torch(module.experts, number)
        one = ask_torch(bank, placed, queries + position, queries, seen)
        mixed = mixed + one * gate[..., number : number + 1]
    assert apart(found, module.norm(tokens + mixed).transpose(1, 2)) <= EXACT


def test_self_attention_sees_valid_queries_only() -> None:
    module = QueryAttention(DIM, HEADS)
    shake(module)
    found = module(queries, position, valid)
    placed = queries + position
    seen = valid[:, None].expand(-1, QUERIES, -1)
    one = ask_torch(as_torch(module.attention, 0), placed, placed, queries, seen)
    assert apart(found, module.norm(queries + one)) <= EXACT


@pytest.mark.parametrize("experts", [1, 2, 5])
def test_the_feed_forward_step_is_a_gated_sum_of_two_layer_mlps(experts: int) -> None:
    module = QueryFeedForward(DIM, 7, experts)
    shake(module)
    mixed = torch.zeros_like(queries)
    gate = torch.ones(REQUESTS, QUERIES, 1, dtype=DOUBLE)
    if experts > 1:
        assert module.gate is not None
        gate = module.gate(queries).softmax(-1)
    for number in range(experts):
        hidden = queries @ module.weight1[number].T + module.bias1[number]
        one = hidden.relu() @ module.weight2[number].T + module.bias2[number]
        mixed = mixed + one * gate[..., number : number + 1]
    assert apart(module(queries), module.norm(queries + mixed)) <= EXACT


@pytest.mark.parametrize("module", [PixelReader, PixelWriter])
def test_one_expert_has_no_gate(module: type[PixelReader] | type[PixelWriter]) -> None:
    assert module(DIM, HEADS, 1).gate is None
    assert QueryFeedForward(DIM, 7, 1).gate is None


def test_an_expert_of_the_base_model_costs_what_the_specification_says() -> None:
    def count(part: nn.Module) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    with torch.device("meta"):
        reader = [count(PixelReader(256, 8, experts)) for experts in (2, 3)]
        feed = [count(QueryFeedForward(256, 256, experts)) for experts in (2, 3)]
    assert reader[1] - reader[0] == 263_168 + 257
    assert feed[1] - feed[0] == 131_584 + 257
    assert 12 * (reader[1] - reader[0]) + 6 * (feed[1] - feed[0]) == 3_952_146
