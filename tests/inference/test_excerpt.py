from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import PromptError
from medprism.core.image import Image
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.excerpt import excerpt
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import volume


def test_a_slice_is_as_bright_as_in_the_whole_volume() -> None:
    whole = Image.from_array(volume()[0].astype(np.int16) * 7 - 300)
    part = excerpt(whole, [3])
    encoder = Encoder(fake_model(), EncodingCache())
    there = encoder.features(View(whole, 3)).maps[0]
    here = encoder.features(View(part, 0)).maps[0]
    assert part.is_planar
    assert float((there - here).abs().max()) < 1 / 255
    # By its own percentiles the slice would come out brighter.
    alone = encoder.features(View(Image.from_array(whole.voxels[3, ..., 0]), 0)).maps[0]
    assert float((there - alone).abs().max()) > 1 / 255


def test_several_slices_keep_their_order() -> None:
    stack = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6)
    part = excerpt(Image.from_array(stack), [4, 1])
    assert np.array_equal(part.voxels[..., 0], stack[[4, 1]])


@pytest.mark.parametrize("slices", [[], [5], [-1]])
def test_slices_that_are_not_there_are_refused(slices: list[int]) -> None:
    with pytest.raises(PromptError, match=r"each 0\.\.4"):
        excerpt(Image.from_array(np.zeros((5, 4, 6), np.uint8)), slices)
