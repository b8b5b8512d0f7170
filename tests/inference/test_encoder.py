from __future__ import annotations

import cv2
import numpy as np
import torch

from medprism.core.image import Image
from medprism.core.preprocess import CENTRE, SCALE
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference
from medprism.inference.zoom import Crop
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import scene, volume


class _Keeping(CountingSegmenter):
    """Keep what the encoder was given."""

    def encode(self, image: torch.Tensor) -> object:
        self.given = image
        return super().encode(image)

    def encode_references(
        self, image: torch.Tensor, mask: torch.Tensor, valid: torch.Tensor
    ) -> object:
        self.given, self.mask = image, mask
        return super().encode_references(image, mask, valid)


def _encoder(long_side: int = 96) -> tuple[_Keeping, Encoder]:
    segmenter = _Keeping()
    model = fake_model(segmenter, long_side=long_side)
    return segmenter, Encoder(model, EncodingCache())


def _to_255(given: torch.Tensor) -> np.ndarray:
    return (given[0, 0] * SCALE + CENTRE).numpy()


def test_an_eight_bit_slice_enters_as_it_is_where_the_sizes_agree() -> None:
    image, _ = scene()
    segmenter, encoder = _encoder(long_side=128)
    small = np.ascontiguousarray(np.pad(image, ((0, 0), (0, 4))))
    encoder.features(View(Image.from_array(small), 0))
    assert segmenter.given.shape == (1, 3, 96, 128)
    np.testing.assert_allclose(_to_255(segmenter.given)[:88], small, atol=1e-4)
    assert (_to_255(segmenter.given)[88:] == 0).all()


def test_a_crop_is_the_crop_of_the_slice_at_full_size() -> None:
    image, _ = scene()
    segmenter, encoder = _encoder(long_side=96)
    crop = Crop(16, 64, 64, 124)
    encoder.features(View(Image.from_array(image), 0, crop))
    part = cv2.resize(
        image[16:64, 64:124].astype(np.float32), (96, 77), interpolation=cv2.INTER_LINEAR
    )
    assert segmenter.given.shape == (1, 3, 80, 96)
    np.testing.assert_allclose(_to_255(segmenter.given)[:77], part, atol=1e-3)


def test_brightness_of_a_crop_is_that_of_the_whole_volume() -> None:
    stack = np.zeros((3, 64, 80), np.float32)
    stack[0], stack[1], stack[2] = -400.0, 1000.0, 300.0
    stack[1, :, :2] = -300.0
    segmenter, encoder = _encoder(long_side=80)
    view = View(Image.from_array(stack), 2, Crop(0, 0, 40, 80))
    encoder.features(view)
    whole = _to_255(segmenter.given)[:40].copy()
    low, high = np.percentile(stack, (0.5, 99.5))
    np.testing.assert_allclose(whole, (300.0 - low) / (high - low) * 255, atol=1e-2)


def test_each_view_and_each_reference_is_encoded_once() -> None:
    stack, masks = volume()
    image = Image.from_array(stack)
    segmenter, encoder = _encoder()
    reference = Reference.from_pair(image, masks["liver"])
    crop = Crop(0, 0, 48, 48)
    for _ in range(2):
        for view in (View(image, 0), View(image, 1), View(image, 1, crop)):
            encoder.features(view)
            encoder.reference(reference, view)
    assert (segmenter.calls.encode, segmenter.calls.encode_references) == (3, 3)
    encoder.features(View(Image.from_array(stack.copy()), 1))
    assert segmenter.calls.encode == 3
    encoder.forget()
    encoder.features(View(image, 1))
    assert segmenter.calls.encode == 4


def test_references_of_one_image_with_different_masks_are_told_apart() -> None:
    image, masks = scene()
    segmenter, encoder = _encoder()
    view = View(Image.from_array(image), 0)
    summaries = []
    for name in ("liver", "polyp"):
        reference = Reference.from_pair(view.image, masks[name])
        summaries.append(encoder.reference(reference, view).summary)
    assert segmenter.calls.encode_references == 2
    assert not torch.equal(*summaries)


def test_the_mask_of_a_reference_is_cropped_like_its_image() -> None:
    image, masks = scene()
    segmenter, encoder = _encoder(long_side=64)
    crop = Crop(8, 76, 40, 108)
    reference = Reference.from_pair(Image.from_array(image), masks["polyp"])
    encoder.reference(reference, View(reference.image, 0, crop))
    expected = cv2.resize(
        crop.cut(masks["polyp"]).astype(np.float32), (64, 64), interpolation=cv2.INTER_LINEAR
    )
    np.testing.assert_allclose(segmenter.mask[0, 0].numpy(), expected, atol=1e-6)
