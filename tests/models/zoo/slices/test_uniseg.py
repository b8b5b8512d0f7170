"""One universal prompt, a prompt map for each class and image."""

from __future__ import annotations

import pytest
import torch

from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.uniseg import UniSeg

from .asked import CLASSES, SIZE, draw_image


@pytest.fixture
def model() -> UniSeg:
    torch.manual_seed(4)
    return UniSeg(rival_nano(CLASSES)).eval()


def test_prompt_maps_depend_on_the_image_and_differ_between_classes(model: UniSeg) -> None:
    with torch.no_grad():
        maps = model.prompt_maps(model.encode(draw_image()).maps[-1])
    assert maps.shape == (2, CLASSES, SIZE[0] // 16, SIZE[1] // 16)
    assert float((maps[0] - maps[1]).abs().amin(0).max()) > 1e-3
    for one in range(CLASSES):
        for other in range(one):
            assert float((maps[:, one] - maps[:, other]).abs().max()) > 1e-2


def test_the_universal_prompt_learns_from_every_class(model: UniSeg) -> None:
    features = model.encode(draw_image())
    for number in range(CLASSES):
        model.zero_grad()
        concept = torch.full((2,), number)
        model.decode(features, Prompts(concept=concept)).logits.sum().backward(retain_graph=True)
        assert model.universal.grad is not None
        # All its channels, not that of the class alone: they meet in the convolution.
        assert bool((model.universal.grad.abs().amax((0, 2, 3)) > 0).all()), number


def test_the_chosen_map_reaches_the_answer(model: UniSeg) -> None:
    features, asked = model.encode(draw_image()), Prompts(concept=torch.tensor([1, 1]))
    with torch.no_grad():
        before = model.decode(features, asked).logits
        model.universal[:, 3] += 1
        assert float((model.decode(features, asked).logits - before).abs().max()) > 1e-3
        last = model.fuse[-1]
        assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
        before = model.decode(features, asked).logits
        last.bias[2] += 1
        assert torch.equal(model.decode(features, asked).logits, before)
        last.bias[1] += 1
        assert float((model.decode(features, asked).logits - before).abs().max()) > 1e-3
