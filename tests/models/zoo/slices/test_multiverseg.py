"""MultiverSeg-style: references and marks count each beside the other, and either is enough."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medprism.core.errors import PromptError
from medprism.core.preprocess import CENTRE, SCALE
from medprism.models.segmenter import Prompts, ReferenceFeatures
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.multiverseg import MultiverSeg, NormedCrossBlock

from .asked import CLASSES, SIZE, draw_clicks, draw_image, draw_masks


def make() -> MultiverSeg:
    torch.manual_seed(4)
    return MultiverSeg(rival_nano(CLASSES)).eval()


def show(model: MultiverSeg, seed: int, *, is_valid: bool = True) -> ReferenceFeatures:
    valid = torch.full((2, 1), is_valid)
    return model.encode_references(draw_image(2, seed)[:, None], draw_masks(2, 1), valid)


@torch.no_grad()
def answer(
    model: MultiverSeg, references: ReferenceFeatures | None, dense: Tensor | None
) -> Tensor:
    clicks = None if dense is None else draw_clicks()[0]
    prompts = Prompts(references=references, clicks=clicks, dense=dense)
    return model.decode(model.encode(draw_image()), prompts).logits


def differ(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) > 1e-4


def test_marks_and_references_change_the_answer_each_with_the_other_kept() -> None:
    model = make()
    dense = draw_clicks()[1]
    first, second = show(model, 7), show(model, 8)
    both = answer(model, first, dense)
    assert differ(both, answer(model, first, None))
    assert differ(both, answer(model, second, dense))
    assert differ(both, answer(model, None, dense))
    swapped = dense[:, [1, 0, 2]]
    assert differ(both, answer(model, first, swapped))
    previous = dense.clone()
    previous[:, 2, 5:30, 9:60] = 0.9
    assert differ(both, answer(model, first, previous))


def test_without_references_the_context_is_one_grey_pair() -> None:
    model = make()
    dense = draw_clicks()[1]
    grey = torch.full((2, 1, 3, *SIZE), (127.5 - CENTRE) / SCALE)
    half = torch.full((2, 1, *SIZE), 0.5)
    valid = torch.ones(2, 1, dtype=torch.bool)
    literal = answer(model, model.encode_references(grey, half, valid), dense)
    torch.testing.assert_close(answer(model, None, dense), literal)
    none_valid = show(model, 7, is_valid=False)
    torch.testing.assert_close(answer(model, none_valid, dense), literal)
    assert differ(answer(model, show(model, 7), dense), literal)


def test_marks_that_were_not_drawn_are_refused() -> None:
    model = make()
    with pytest.raises(PromptError, match="their maps"):
        model.decode(model.encode(draw_image()), Prompts(clicks=draw_clicks()[0]))


def test_a_block_is_norm_and_relu_after_every_convolution() -> None:
    torch.manual_seed(2)
    block = NormedCrossBlock(2, 3, 4, 8)
    query, references = torch.randn(1, 3, 6, 8), torch.randn(1, 2, 4, 6, 8)
    conv, norm = block.cross
    crossed = []
    for n in (0, 1):
        x = conv(torch.cat([query, references[:, n]], 1))
        mean, spread = x.mean(), x.var(unbiased=False)
        crossed.append(((x - mean) / (spread + 1e-5).sqrt()).relu())
        torch.testing.assert_close(norm(x).relu(), crossed[-1])
    found, after = block(query, references)
    torch.testing.assert_close(found, block.query((crossed[0] + crossed[1]) / 2).relu())
    assert block.reference is not None
    torch.testing.assert_close(after[:, 1], block.reference(crossed[1]).relu())
    assert float(found.detach().min()) == 0
