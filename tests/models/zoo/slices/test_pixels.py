"""Rivals that cross pixels: what they keep of references may be joined and padded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from medprism.core.errors import PromptError
from medprism.models.segmenter import Prompts, ReferenceFeatures
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.multiverseg import MultiverSeg
from medprism.models.zoo.slices.pixels import PixelRival, to_grid
from medprism.models.zoo.slices.tyche import Tyche
from medprism.models.zoo.slices.universeg import UniverSegRival

from .asked import CLASSES, SIZE, draw_image, draw_masks

KINDS = (UniverSegRival, MultiverSeg, Tyche)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def make(kind: type[PixelRival]) -> PixelRival:
    torch.manual_seed(4)
    return kind(rival_nano(CLASSES)).eval()


def show(model: PixelRival, refs: int = 2, requests: int = 1) -> ReferenceFeatures:
    pictures = torch.stack([draw_image(requests, 7 + index) for index in range(refs)], 1)
    valid = torch.ones(requests, refs, dtype=torch.bool)
    return model.encode_references(pictures, draw_masks(requests, refs), valid)


@torch.no_grad()
def answer(model: PixelRival, references: ReferenceFeatures) -> Tensor:
    features = model.encode(draw_image(len(references.valid)))
    return model.decode(features, Prompts(references=references)).logits


@pytest.mark.parametrize("kind", KINDS)
def test_references_come_in_any_order_and_twice_is_as_once(kind: type[PixelRival]) -> None:
    model = make(kind)
    assert not hasattr(model, "image_encoder")
    pictures = torch.cat([draw_image(1, 7), draw_image(1, 8)])[:, None]
    masks = draw_masks(1, 2)[0][:, None]
    one, two = (
        model.encode_references(pictures[i][None], masks[i][None], torch.tensor([[True]]))
        for i in (0, 1)
    )
    join = ReferenceFeatures.concatenate
    both = answer(model, join([one, two]))
    torch.testing.assert_close(answer(model, show(model)), both, **CLOSE)
    torch.testing.assert_close(answer(model, join([two, one])), both, **CLOSE)
    torch.testing.assert_close(answer(model, join([one, one])), answer(model, one), **CLOSE)
    torch.testing.assert_close(answer(model, join([one, two, one, two])), both, **CLOSE)
    # Each of them does count.
    for alone in (one, two):
        assert float((answer(model, alone) - both).abs().max()) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_padded_or_not_valid_changes_nothing(kind: type[PixelRival]) -> None:
    model = make(kind)
    references = show(model)
    padded = ReferenceFeatures(
        pad(references.keys, (0, 0, 0, 64 * 64)),
        pad(references.values, (0, 0, 0, 64 * 64)),
        pad(references.valid, (0, 64 * 64)),
        references.summary,
        references.weight,
    )
    torch.testing.assert_close(answer(model, padded), answer(model, references), **CLOSE)
    pictures = torch.stack([draw_image(1, 7 + index) for index in range(3)], 1)
    valid = torch.tensor([[True, True, False]])
    third = model.encode_references(pictures, draw_masks(1, 3), valid)
    torch.testing.assert_close(answer(model, third), answer(model, references), **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_is_a_pass_of_its_own_for_one_class(kind: type[PixelRival]) -> None:
    model = make(kind)
    references = show(model, requests=2)
    image = draw_image(1).repeat(2, 1, 1, 1)
    with torch.no_grad():
        both = model.decode(model.encode(image), Prompts(references=references)).logits
    for row in (0, 1):
        only = references.map(lambda tensor, row=row: tensor[row : row + 1])
        torch.testing.assert_close(answer(model, only), both[row : row + 1], **CLOSE)
    assert float((both[0] - both[1]).abs().max()) > 1e-4


def test_what_is_kept_of_references_are_their_pixels_and_masks() -> None:
    model = make(UniverSegRival)
    references = show(model, requests=2)
    side = model.config.side
    pictures, valid = model.shown(references)
    assert references.keys.shape == (2, 2 * side**2, 3)
    assert references.values.shape == (2, 2 * side**2, 1)
    assert bool(valid.all())
    torch.testing.assert_close(pictures[:, 1, :3], to_grid(draw_image(2, 8), side))
    torch.testing.assert_close(pictures[:, :, 3], to_grid(draw_masks(2, 2), side))


def test_a_mask_keeps_its_share_of_the_picture_on_a_coarse_grid() -> None:
    masks = draw_masks(1, 3)
    small = to_grid(masks, 32)
    assert SIZE[0] > 32 < SIZE[1]
    torch.testing.assert_close(small.mean((2, 3)), masks.mean((2, 3)), rtol=0.02, atol=0.0)
    assert float(small.min()) >= 0 and float(small.max()) <= 1 + 1e-6


def test_without_references_it_says_what_it_needs() -> None:
    model = make(Tyche)
    assert isinstance(model, Tyche)
    with pytest.raises(PromptError, match="show some"):
        model.candidates(model.encode(draw_image()), Prompts())
