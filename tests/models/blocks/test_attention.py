"""Absorbed = literal = torch.nn.MultiheadAttention, in double precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from medprism.models.blocks.attention import (
    AttentionExperts,
    literal_is_cheaper,
    open_blocked_rows,
    read_pixels,
    write_pixels,
)

EXACT = 1e-9
DOUBLE = torch.float64


def make_experts(dim: int, heads: int, experts: int, seed: int) -> AttentionExperts:
    """Return experts with random biases too: zero ones would hide a missing term."""
    torch.manual_seed(seed)
    bank = AttentionExperts(dim, heads, experts).to(DOUBLE)
    with torch.no_grad():
        bank.in_bias.normal_()
        bank.out_bias.normal_()
    return bank


def as_torch(bank: AttentionExperts, expert: int) -> nn.MultiheadAttention:
    """Return one expert as the module of torch."""
    module = nn.MultiheadAttention(bank.dim, bank.heads, batch_first=True, dtype=DOUBLE)
    with torch.no_grad():
        module.in_proj_weight.copy_(bank.in_weight[expert])
        module.in_proj_bias.copy_(bank.in_bias[expert])
        module.out_proj.weight.copy_(bank.out_weight[expert])
        module.out_proj.bias.copy_(bank.out_bias[expert])
    return module.eval()


def ask_torch(
    module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor
) -> Tensor:
    """Attend with boolean masks; `allowed` is (requests, queries, keys)."""
    blocked = (~allowed).repeat_interleave(module.num_heads, dim=0)
    with torch.no_grad():
        result = module(query, key, value, attn_mask=blocked, need_weights=False)[0]
    assert isinstance(result, Tensor)
    return result


shapes = st.fixed_dictionaries(
    {
        "requests": st.integers(1, 3),
        "queries": st.integers(1, 5),
        "positions": st.integers(1, 9),
        "heads": st.integers(1, 4),
        "width": st.integers(1, 4),
        "experts": st.integers(1, 5),
        "seed": st.integers(0, 10_000),
    }
)


@given(shape=shapes, masked=st.sampled_from(["not", "partly", "one row fully"]))
@settings(max_examples=60, deadline=None)
def test_reading_is_the_attention_of_torch_in_both_forms(
    shape: dict[str, int], masked: str
) -> None:
    dim = shape["heads"] * shape["width"]
    bank = make_experts(dim, shape["heads"], shape["experts"], shape["seed"])
    queries = torch.randn(shape["requests"], shape["queries"], dim, dtype=DOUBLE)
    keys = torch.randn(shape["requests"], dim, shape["positions"], dtype=DOUBLE)
    values = torch.randn(shape["requests"], dim, shape["positions"], dtype=DOUBLE)
    allowed = torch.rand(shape["requests"], shape["queries"], shape["positions"]) < 0.5
    if masked == "one row fully":
        allowed[0, 0] = False
    given_mask = None if masked == "not" else allowed
    with torch.no_grad():
        literal = read_pixels(bank, queries, keys, values, given_mask, literal=True)
        absorbed = read_pixels(bank, queries, keys, values, given_mask, literal=False)
    assert float((literal - absorbed).abs().max()) <= EXACT
    # torch answers NaN for a row without any key; we open such a row.
    seen = torch.ones_like(allowed) if given_mask is None else allowed
    seen = seen | ~seen.any(-1, keepdim=True)
    for expert in range(shape["experts"]):
        expected = ask_torch(
            as_torch(bank, expert), queries, keys.transpose(1, 2), values.transpose(1, 2), seen
        )
        assert float((absorbed[:, expert] - expected).abs().max()) <= EXACT


@given(shape=shapes, padded=st.booleans())
@settings(max_examples=60, deadline=None)
def test_writing_is_the_gated_attention_of_torch_in_both_forms(
    shape: dict[str, int], padded: bool
) -> None:
    dim = shape["heads"] * shape["width"]
    bank = make_experts(dim, shape["heads"], shape["experts"], shape["seed"])
    pixels = torch.randn(shape["requests"], dim, shape["positions"], dtype=DOUBLE)
    keys = torch.randn(shape["requests"], shape["queries"], dim, dtype=DOUBLE)
    values = torch.randn(shape["requests"], shape["queries"], dim, dtype=DOUBLE)
    valid = torch.ones(shape["requests"], shape["queries"], dtype=torch.bool)
    if padded:
        valid = torch.rand(valid.shape) < 0.5
        valid[:, 0] = True
    gate = torch.randn(shape["requests"], shape["experts"], shape["positions"], dtype=DOUBLE)
    gate = gate.softmax(1)
    with torch.no_grad():
        literal = write_pixels(bank, pixels, keys, values, valid, gate, literal=True)
        absorbed = write_pixels(bank, pixels, keys, values, valid, gate, literal=False)
    assert float((literal - absorbed).abs().max()) <= EXACT
    seen = valid[:, None].expand(-1, shape["positions"], -1)
    expected = torch.zeros_like(pixels)
    for expert in range(shape["experts"]):
        attended = ask_torch(as_torch(bank, expert), pixels.transpose(1, 2), keys, values, seen)
        expected = expected + attended.transpose(1, 2) * gate[:, expert, None]
    assert float((absorbed - expected).abs().max()) <= EXACT


@pytest.mark.parametrize("literal", [True, False])
def test_padding_queries_change_nothing_that_is_written(literal: bool) -> None:
    bank = make_experts(12, 3, 4, seed=5)
    pixels = torch.randn(2, 12, 7, dtype=DOUBLE)
    tokens = torch.randn(2, 3, 12, dtype=DOUBLE)
    junk = 50 * torch.randn(2, 2, 12, dtype=DOUBLE)
    gate = torch.rand(2, 4, 7, dtype=DOUBLE)
    real = torch.ones(2, 3, dtype=torch.bool)
    padded = torch.cat([junk, tokens], 1)
    valid = torch.cat([torch.zeros(2, 2, dtype=torch.bool), real], 1)
    bare = write_pixels(bank, pixels, tokens, tokens, real, gate, literal=literal)
    with_junk = write_pixels(bank, pixels, padded, padded, valid, gate, literal=literal)
    assert float((bare - with_junk).detach().abs().max()) <= EXACT


def test_masked_pixels_have_no_influence_and_no_gradient() -> None:
    bank = make_experts(8, 2, 2, seed=6)
    queries = torch.randn(1, 2, 8, dtype=DOUBLE)
    pixels = torch.randn(1, 8, 5, dtype=DOUBLE, requires_grad=True)
    allowed = torch.tensor([[[True, False, True, False, True], [True, False, False, True, True]]])
    for literal in (True, False):
        out = read_pixels(bank, queries, pixels, pixels, allowed, literal=literal)
        (gradient,) = torch.autograd.grad(out.square().sum(), pixels)
        assert gradient.abs().amax((0, 1)).gt(0).tolist() == [True, False, True, True, True]


def test_fully_masked_rows_are_opened_and_no_other() -> None:
    allowed = torch.tensor([[[False, False, False], [False, True, False]]])
    assert open_blocked_rows(allowed).tolist() == [[[True] * 3, [False, True, False]]]


@given(
    queries=st.integers(1, 200),
    dim=st.sampled_from([32, 128, 256]),
    experts=st.integers(1, 5),
    heads=st.sampled_from([4, 8]),
)
def test_the_form_is_chosen_by_counting_multiplications(
    queries: int, dim: int, experts: int, heads: int
) -> None:
    pixels = 21_504
    # Literal: keys and values of every pixel, then scores and the weighted sum of every head.
    project = 2 * pixels * dim * dim
    attend = 2 * pixels * queries * heads * (dim // heads)
    literal = experts * (project + attend)
    # Absorbed: scores and weighted sum at full width for every head.
    absorbed = experts * heads * queries * 2 * pixels * dim
    assert literal_is_cheaper(queries, dim, experts, heads) == (literal < absorbed)


def test_the_choice_turns_at_about_36_queries_in_the_base_model() -> None:
    turns = [literal_is_cheaper(queries, 256, 5, 8) for queries in (36, 37)]
    assert turns == [False, True]


def test_the_weights_start_like_those_of_torch() -> None:
    torch.manual_seed(0)
    bank = AttentionExperts(64, 8, 3)
    torch_own = nn.MultiheadAttention(64, 8)
    pairs = (
        (bank.in_weight, torch_own.in_proj_weight),
        (bank.out_weight, torch_own.out_proj.weight),
    )
    for ours, theirs in pairs:
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.03)
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.01)
    assert bank.in_bias.eq(0).all() and bank.out_bias.eq(0).all()
    assert bank.scale == pytest.approx(8**-0.5)
