"""Clicks come after the encoder, and reach far."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from medprism.core.errors import PromptError
from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.late_fusion import LateFusion

from .asked import CLASSES, SIZE, draw_clicks, draw_image


@pytest.fixture
def model() -> LateFusion:
    torch.manual_seed(4)
    return LateFusion(rival_nano(CLASSES)).eval()


def click_at(row: int, col: int, channel: int = 0) -> Prompts:
    dense = torch.zeros(1, 3, *SIZE)
    dense[:, channel, row - 1 : row + 2, col - 1 : col + 2] = 1
    return Prompts(dense=dense)


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_an_image_is_encoded_once_for_all_clicks(model: LateFusion) -> None:
    seen: list[Tensor] = []
    forward = model.image_encoder.forward

    def counted(x: Tensor) -> tuple[Tensor, ...]:
        seen.append(x)
        return forward(x)

    with torch.no_grad(), patch.object(model.image_encoder, "forward", counted):
        features = model.encode(draw_image(1))
        asked = (click_at(9, 12), click_at(50, 80), click_at(9, 12, 1), click_at(9, 12, 2))
        answers = [model.decode(features, one).logits for one in asked]
    assert len(seen) == 1
    assert all(difference(one, answers[0]) > 1e-3 for one in answers[1:])


def test_a_click_speaks_to_the_whole_image_by_attention(model: LateFusion) -> None:
    coarse = model.encode(draw_image(1)).maps[-1]
    none = torch.zeros(1, 3, *SIZE)
    with torch.no_grad():
        far = model.fuse(coarse, click_at(9, 12).dense) - model.fuse(coarse, none)
        added = model.patches(click_at(9, 12).dense) - model.patches(none)
    assert float(far[..., -1, -1].abs().max()) > 1e-4
    # Without attention it would have reached the patch it lies in, and no other.
    touched = added.abs().amax(1)[0] > 0
    assert touched.nonzero().tolist() == [[0, 0]]


def test_clicks_without_their_marks_are_refused(model: LateFusion) -> None:
    with pytest.raises(PromptError, match="maps on the canvas"):
        model.decode(model.encode(draw_image()), Prompts(clicks=draw_clicks()[0]))
