"""Rivals learn within seconds what they are asked with: a class, or a click."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.roster import RIVALS

from .asked import build_needs
from .two_boxes import Boxes, ask_classes, ask_clicks, dices, teach


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("uniseg", ask_classes),
        ("hermes", ask_classes),
        ("unetr", ask_classes),
        ("verse", ask_classes),
        ("verse", ask_clicks),
        ("late-fusion", ask_clicks),
        ("sam-style", ask_clicks),
    ],
)
def test_it_answers_what_was_asked_and_nothing_else_on_new_images(
    name: str, ask: Callable[[int], Boxes]
) -> None:
    build_needs(name)
    torch.manual_seed(1)
    model = RIVALS[name].build(rival_nano(2))
    least, _ = dices(model, ask(0))
    assert least < 0.7
    teach(model, ask)
    least, most = dices(model, ask(0))
    assert least > 0.8
    assert most < 0.2
