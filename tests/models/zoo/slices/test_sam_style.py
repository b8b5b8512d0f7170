"""Clicks as tokens: a set of signed places, whatever its order and padding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from medprism.core.errors import PromptError
from medprism.models.segmenter import Clicks, Prompts
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.sam_style import SamStyle

from .asked import CLASSES, SIZE, draw_clicks, draw_image


@pytest.fixture
def model() -> SamStyle:
    torch.manual_seed(4)
    return SamStyle(rival_nano(CLASSES)).eval()


def answer(model: SamStyle, clicks: Clicks, dense: Tensor | None = None) -> Tensor:
    maps = draw_clicks()[1] if dense is None else dense
    with torch.no_grad():
        return model.decode(model.encode(draw_image()), Prompts(clicks=clicks, dense=maps)).logits


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_the_order_of_clicks_does_not_matter(model: SamStyle) -> None:
    clicks, _ = draw_clicks()
    turned = clicks.map(lambda tensor: tensor.flip(1))
    torch.testing.assert_close(answer(model, turned), answer(model, clicks), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(model: SamStyle) -> None:
    clicks, _ = draw_clicks()
    padded = clicks.map(lambda tensor: torch.cat([tensor, tensor.flip(1), tensor], 1))
    padded.valid[:, 2:] = False
    torch.testing.assert_close(answer(model, padded), answer(model, clicks), rtol=1e-4, atol=1e-5)
    padded.valid[:, 2:4] = True
    assert difference(answer(model, padded), answer(model, clicks)) > 1e-3


def test_place_and_sign_of_a_click_matter(model: SamStyle) -> None:
    clicks, _ = draw_clicks()
    before = answer(model, clicks)
    negative = replace(clicks, is_positive=torch.zeros_like(clicks.is_positive))
    moved = replace(clicks, position=clicks.position + 11)
    assert difference(answer(model, negative), before) > 1e-2
    assert difference(answer(model, moved), before) > 1e-2


def test_of_the_maps_only_the_previous_mask_is_read(model: SamStyle) -> None:
    clicks, dense = draw_clicks()
    before = answer(model, clicks)
    unmarked, unmasked = dense.clone(), dense.clone()
    unmarked[:, :2] = 0
    unmasked[:, 2] = 0
    assert torch.equal(answer(model, clicks, unmarked), before)
    assert difference(answer(model, clicks, unmasked), before) > 1e-3


def test_a_click_and_the_cell_it_lies_on_have_one_code(model: SamStyle) -> None:
    places = model.places((SIZE[0] // 16, SIZE[1] // 16), SIZE)
    # The centre of the cell in row 2 and column 3.
    position = torch.tensor([[[39.5, 55.5]]])
    yes = torch.ones(1, 1, dtype=torch.bool)
    tokens, valid = model.tokens(Clicks(position, yes, yes), SIZE)
    code = tokens[0, 1] - model.label[1]
    torch.testing.assert_close(code, places[:, 2 * (SIZE[1] // 16) + 3], rtol=1e-4, atol=1e-4)
    assert valid.tolist() == [[True, True]]


def test_half_of_what_it_reads_is_refused(model: SamStyle) -> None:
    features, (clicks, dense) = model.encode(draw_image()), draw_clicks()
    for half in (Prompts(clicks=clicks), Prompts(dense=dense)):
        with pytest.raises(PromptError, match="give both"):
            model.decode(features, half)
