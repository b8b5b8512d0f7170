"""UNETR is MONAI's, on a grid of one size; without MONAI it says how to get it."""

from __future__ import annotations

import sys

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.models.segmenter import Prompts
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.unetr import Unetr

from .asked import CLASSES, SIZE, build_needs, draw_image


def test_without_monai_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "monai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(ConfigError, match=r"pip install 'monai>=1.5'"):
        Unetr(rival_nano(CLASSES))


def make() -> Unetr:
    build_needs("unetr")
    torch.manual_seed(4)
    return Unetr(rival_nano(CLASSES)).eval()


def test_a_class_is_a_channel_of_one_pass() -> None:
    model = make()
    with torch.no_grad():
        features = model.encode(draw_image())
        logits = model.decode(features, Prompts(concept=torch.tensor([4, 1]))).logits
    scores = features.maps[0]
    assert scores.shape == (2, CLASSES, SIZE[0] // 2, SIZE[1] // 2)
    assert torch.equal(logits, torch.stack([scores[0, 4], scores[1, 1]]))


def test_it_has_no_encoder_of_k_prism_and_sees_the_whole_image() -> None:
    model = make()
    assert not any("image_encoder" in name for name, _ in model.named_parameters())
    image = draw_image(1).requires_grad_()
    model.encode(image).maps[0][0, 2, 5, 5].backward()
    assert image.grad is not None
    assert float(image.grad[..., -8:, -8:].abs().max()) > 0
