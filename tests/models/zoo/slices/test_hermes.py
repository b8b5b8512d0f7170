"""Tokens of a class read the features, and the features read them."""

from __future__ import annotations

import pytest
import torch

from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.hermes import Hermes

from .asked import CLASSES, draw_image


@pytest.fixture
def model() -> Hermes:
    torch.manual_seed(4)
    return Hermes(rival_nano(CLASSES)).eval()


def test_tokens_change_the_maps_and_images_change_the_tokens(model: Hermes) -> None:
    features = model.encode(draw_image())
    one, other = (model.priors[row].detach()[None, None].expand(2, 1, -1, -1) for row in (0, 3))
    with torch.no_grad():
        tokens, x = model.meet(one, features)
        _, after = model.meet(other, features)
    assert float((after - x).abs().max()) > 1e-2
    assert float((tokens[0] - tokens[1]).abs().max()) > 1e-2
    assert float((tokens - one).abs().max()) > 1e-2


def test_every_meeting_works_in_both_directions(model: Hermes) -> None:
    features = model.encode(draw_image())
    tokens, x = model.meet(model.priors[:2, None], features)
    (tokens.square().sum() + x.square().sum()).backward()
    for block in model.meetings:
        for way in ("read", "write"):
            weight = block.get_submodule(way).attention.in_weight
            # Also of keys and queries: who attends to whom depends on both.
            assert bool((weight.grad.reshape(3, -1).abs().amax(1) > 0).all()), way


def test_different_classes_give_different_answers(model: Hermes) -> None:
    features = model.encode(draw_image(1))
    with torch.no_grad():
        answers = torch.stack(
            [
                model.decode(features, Prompts(concept=torch.tensor([row]))).logits[0]
                for row in range(CLASSES)
            ]
        )
    apart = (answers[:, None] - answers[None]).abs().amax((2, 3))
    assert float((apart + torch.eye(CLASSES)).min()) > 1e-2
