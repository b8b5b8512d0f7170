from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.attention import AttentionExperts
from medprism.models.blocks.two_way import (
    FeedTokens,
    MixTokens,
    ReadGrid,
    TokenSight,
    TwoWayBlock,
    WriteGrid,
    check_sight,
)

DIM, HEADS = 12, 3


def library_attention(weights: AttentionExperts) -> nn.MultiheadAttention:
    """Return torch's attention with our weights."""
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(weights.in_weight[0])
        theirs.in_proj_bias.copy_(weights.in_bias[0])
        theirs.out_proj.weight.copy_(weights.out_weight[0])
        theirs.out_proj.bias.copy_(weights.out_bias[0])
    return theirs


def shaken(module: nn.Module) -> nn.Module:
    """Give every parameter a value of its own, biases and norms too."""
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.double()


def draw(rows: int = 2, tokens: int = 4, places: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(7)
    return (
        torch.randn(rows, tokens, DIM, dtype=torch.float64),
        torch.randn(rows, DIM, places, dtype=torch.float64),
        torch.randn(DIM, places, dtype=torch.float64),
    )


@pytest.mark.parametrize("literal", [False, True, None])
def test_reading_is_the_library_s_attention(literal: bool | None) -> None:
    step = shaken(ReadGrid(DIM, HEADS))
    assert isinstance(step, ReadGrid)
    tokens, grid, place = draw()
    keys = (grid + place).transpose(1, 2)
    query = step.norm(tokens)
    expected = library_attention(step.attention)(query, keys, grid.transpose(1, 2))[0]
    found = step(tokens, grid, place, literal=literal)
    torch.testing.assert_close(found, tokens + expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("literal", [False, True, None])
def test_writing_is_the_library_s_attention(literal: bool | None) -> None:
    step = shaken(WriteGrid(DIM, HEADS))
    assert isinstance(step, WriteGrid)
    tokens, grid, place = draw()
    valid = torch.tensor([[True, True, False, True], [True, True, True, True]])
    normed, asking = step.norm(tokens), grid + place
    attend = library_attention(step.attention)
    read = attend(asking.transpose(1, 2), normed, normed, key_padding_mask=~valid)[0]
    found = step(grid, asking, tokens, valid, literal=literal)
    torch.testing.assert_close(found, grid + read.transpose(1, 2), atol=1e-10, rtol=0)


def test_nothing_is_written_where_no_token_is_valid() -> None:
    step = shaken(WriteGrid(DIM, HEADS))
    tokens, grid, place = draw()
    for literal in (False, True):
        found = step(grid, grid + place, tokens, torch.zeros(2, 4).bool(), literal=literal)
        assert torch.equal(found, grid)


@pytest.mark.parametrize("sight", ["class", "stack"])
def test_mixing_is_the_library_s_attention(sight: TokenSight) -> None:
    step = shaken(MixTokens(DIM, HEADS, sight))
    assert isinstance(step, MixTokens)
    stack = draw(rows=6)[0].reshape(2, 3, 4, DIM)
    present = torch.tensor([[True, True, False], [True, True, True]])
    attend = library_attention(step.attention)
    normed = step.norm(stack)
    if sight == "class":
        flat = normed.flatten(0, 1)
        expected = attend(flat, flat, flat)[0].reshape(stack.shape)
    else:
        flat = normed.flatten(1, 2)
        blind = ~present.repeat_interleave(4, 1)
        expected = attend(flat, flat, flat, key_padding_mask=blind)[0].reshape(stack.shape)
    torch.testing.assert_close(step(stack, present), stack + expected, atol=1e-10, rtol=0)


def test_feeding_is_its_formula() -> None:
    step = shaken(FeedTokens(DIM, 20))
    assert isinstance(step, FeedTokens)
    tokens = draw()[0]
    inner = F.gelu(step.inner(F.layer_norm(tokens, (DIM,), step.norm.weight, step.norm.bias)))
    torch.testing.assert_close(step(tokens), tokens + step.outer(inner))


@pytest.mark.parametrize("sight", ["none", "class", "stack"])
@pytest.mark.parametrize("writes", [False, True])
def test_both_forms_agree_and_classes_meet_only_where_they_may(
    sight: TokenSight, writes: bool
) -> None:
    block = shaken(TwoWayBlock(DIM, HEADS, 2, sight, writes=writes)).requires_grad_(False)
    stack = draw(rows=6)[0].reshape(2, 3, 4, DIM)
    _, grid, place = draw()
    present = torch.ones(2, 3, dtype=torch.bool)
    tokens, written = block(stack, present, grid, place, literal=True)
    for literal in (False, None):
        again, grid_again = block(stack, present, grid, place, literal=literal)
        torch.testing.assert_close(again, tokens, atol=1e-10, rtol=0)
        torch.testing.assert_close(grid_again, written, atol=1e-10, rtol=0)
    assert torch.equal(written, grid) is not writes
    fewer, grid_fewer = block(stack[:, :2], present[:, :2], grid, place)
    meets = float((fewer - tokens[:, :2]).abs().max()) > 1e-6
    assert meets is (sight == "stack")
    assert (float((grid_fewer - written).abs().max()) > 1e-6) is writes


def test_an_unknown_sight_is_refused() -> None:
    with pytest.raises(ConfigError, match="use 'none', 'class' or 'stack'"):
        check_sight("some")
