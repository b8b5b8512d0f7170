"""Weights of experts: those that the model itself uses, by kind of knowledge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medprism.evaluation.expert_weights import gate_weights, mean_over_gates, watched
from medprism.models.blocks.experts import PixelReader, PixelWriter
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from tests.models.kprism.questions import answer, draw_question


def make(experts: int = 3) -> KPrism:
    torch.manual_seed(2)
    config = kprism_nano(3)
    decoder = replace(config.decoder, read_experts=experts, feed_experts=experts)
    return KPrism(replace(config, decoder=decoder)).eval()


def test_weights_add_up_to_one_and_differ_by_what_is_asked() -> None:
    model, found = make(), {}
    with torch.no_grad():
        for kind in ("semantic", "in-context", "interactive"):
            with watched(model) as means:
                answer(model, draw_question(), kind)
                answer(model, draw_question(seed=5), kind)
            found[kind] = means()
    # Three layers with a gate each for reading, writing and the MLP.
    assert {len(means) for means in found.values()} == {9}
    assert {one.part for one in found["semantic"]} == {
        "queries read",
        "pixels read",
        "queries' MLP",
    }
    for means in found.values():
        assert all(sum(one.weights) == pytest.approx(1) for one in means)
        assert sum(mean_over_gates(means)) == pytest.approx(1)
    assert mean_over_gates(found["semantic"]) != mean_over_gates(found["in-context"])


def test_looking_changes_nothing_and_ends_with_the_block() -> None:
    model = make()
    with torch.no_grad():
        before = answer(model, draw_question(), "semantic").logits
        with watched(model) as means:
            during = answer(model, draw_question(), "semantic").logits
        once = means()
        answer(model, draw_question(), "semantic")
    assert torch.equal(before, during)
    assert means() == once


def test_one_expert_has_no_gate() -> None:
    model = make(1)
    with torch.no_grad(), watched(model) as means:
        answer(model, draw_question(), "semantic")
    assert means() == ()


def test_weights_are_those_that_mix_the_experts() -> None:
    """The literal form: with experts that each give a constant, the mixture shows the weights."""
    torch.manual_seed(3)
    reader, writer = PixelReader(8, 2, 3), PixelWriter(8, 2, 3)
    queries, pixels = torch.randn(2, 4, 8), torch.randn(2, 8, 5)
    assert reader.gate is not None and writer.gate is not None
    read = gate_weights(reader, queries)
    assert torch.allclose(read, reader.gate(queries).softmax(-1).reshape(8, 3))
    scores = writer.gate.weight @ pixels + writer.gate.bias[:, None]
    written = scores.softmax(1).transpose(1, 2).reshape(10, 3)
    torch.testing.assert_close(gate_weights(writer, pixels), written)
