"""The paper's ablations of prompts: what is left out does not matter, and all else still does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.models.kprism.config import KPrismConfig, kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Prompts, ReferenceFeatures

from .questions import KINDS, answer, draw_question


def make(**changes: bool) -> KPrism:
    torch.manual_seed(4)
    return KPrism(replace(kprism_nano(5), **changes)).eval()


def ask(model: KPrism, prompts: Prompts) -> torch.Tensor:
    with torch.no_grad():
        return model.decode(model.encode(draw_question().image), prompts).logits


def references(model: KPrism) -> ReferenceFeatures:
    question = draw_question()
    with torch.no_grad():
        return model.encode_references(
            question.reference_image, question.reference_mask, question.reference_valid
        )


@pytest.mark.parametrize("left_out", ["fuses_maps", "has_queries"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_request_has_an_answer_without_it(left_out: str, kind: str) -> None:
    with torch.no_grad():
        found = answer(make(**{left_out: False}), draw_question(), kind).logits
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("fuses", [True, False])
def test_maps_matter_only_where_they_are_fused(fuses: bool) -> None:
    model = make(fuses_maps=fuses)
    question = draw_question()
    shown = references(model)
    other = replace(shown, values=shown.values.flip(1))
    said = answer(model, question, "interactive").logits
    marked = question.with_changed(previous=1 - question.previous)
    assert torch.equal(said, answer(model, marked, "interactive").logits) is not fuses
    same = torch.equal(ask(model, Prompts(references=shown)), ask(model, Prompts(references=other)))
    assert same is not fuses


@pytest.mark.parametrize("has_queries", [True, False])
def test_queries_matter_only_where_there_are_any(has_queries: bool) -> None:
    model = make(has_queries=has_queries)
    shown = references(model)
    other = replace(shown, summary=shown.summary.flip(-1) + 1)
    same = torch.equal(ask(model, Prompts(references=shown)), ask(model, Prompts(references=other)))
    assert same is not has_queries


def test_settings_from_before_have_both_and_odd_ones_are_refused() -> None:
    payload = kprism_nano(5).to_json()
    del payload["fuses_maps"], payload["has_queries"]
    assert KPrismConfig.from_json(payload) == kprism_nano(5)
    with pytest.raises(ConfigError, match="must be true or false|incomplete or unknown"):
        KPrismConfig.from_json({**payload, "fuses_maps": 1})
