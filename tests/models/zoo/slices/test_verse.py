"""Verse-style is K-Prism without references and with one expert."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medprism.core.errors import PromptError
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.frame import rival_compact, rival_nano
from medprism.models.zoo.slices.verse import Verse, verse_config

from .asked import CLASSES, draw_clicks, draw_image, draw_masks


def test_only_the_experts_differ_from_the_k_prism_beside_it() -> None:
    beside = rival_compact(80).kprism
    decoder = replace(beside.decoder, read_experts=1, feed_experts=1)
    assert verse_config(rival_compact(80)) == replace(beside, decoder=decoder)
    assert decoder != beside.decoder


def test_it_has_the_weights_of_that_k_prism_but_for_those_of_references() -> None:
    config = rival_nano(CLASSES)
    whole, verse = KPrism(verse_config(config)).eval(), Verse(config).eval()
    missing = set(whole.state_dict()) - set(verse.state_dict())
    assert {name.split(".")[0] for name in missing} == {"mask_encoder", "summary"}
    verse.load_state_dict({k: v for k, v in whole.state_dict().items() if k not in missing})
    clicks, dense = draw_clicks()
    with torch.no_grad():
        for asked in (
            Prompts(concept=torch.tensor([0, 3])),
            Prompts(clicks=clicks, dense=dense),
            Prompts(concept=torch.tensor([0, 3]), clicks=clicks, dense=dense),
        ):
            one, other = (m.decode(m.encode(draw_image()), asked) for m in (whole, verse))
            assert torch.equal(one.logits, other.logits)
            assert len(other.auxiliary) == 3


def test_references_of_another_model_are_refused() -> None:
    config = rival_nano(CLASSES)
    whole, verse = KPrism(config.kprism), Verse(config)
    shown, valid = draw_image()[:, None], torch.ones(2, 1, dtype=torch.bool)
    references = whole.encode_references(shown, draw_masks(2, 1), valid)
    with pytest.raises(PromptError, match="class or clicks, not by references"):
        verse.decode(verse.encode(draw_image()), Prompts(references=references))
