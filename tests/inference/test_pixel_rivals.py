"""Rivals that keep references as pixels, asked as a session asks: joined, padded and in batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medprism.core.image import Image
from medprism.core.prompt import Click, Interactions
from medprism.inference.decoding import ReferenceView, Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference
from medprism.models.zoo.slices.frame import rival_nano
from medprism.models.zoo.slices.roster import RIVALS
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

IMAGE = Image.from_array(volume()[0])


def show(*seeds: int) -> tuple[ReferenceView, ...]:
    views = []
    for seed in seeds:
        image, masks = scene(seed)
        pair = Reference.from_pair(Image.from_array(image), masks["liver"])
        views.append(ReferenceView(pair, View(pair.image, 0)))
    return tuple(views)


@pytest.mark.parametrize("name", ["universeg", "multiverseg", "tyche"])
def test_requests_of_a_batch_answer_as_they_do_alone(name: str) -> None:
    torch.manual_seed(3)
    segmenter = RIVALS[name].build(rival_nano(2)).eval()
    encoder = Encoder(fake_model(segmenter), EncodingCache())
    requests = [
        Request(View(IMAGE, 0), references=show(1, 2)),
        Request(View(IMAGE, 1), references=show(2)),
        Request(View(IMAGE, 0), references=show(2, 1)),
    ]
    if segmenter.accepts.clicks:
        clicks = Interactions((Click(30, 30, True), Click(60, 70, False)))
        requests.append(Request(View(IMAGE, 0), interactions=clicks))
        requests.append(Request(View(IMAGE, 0), references=show(1), interactions=clicks))
    together = decode(segmenter, encoder, requests)
    for request, answer in zip(requests, together, strict=True):
        (alone,) = decode(segmenter, encoder, [request])
        np.testing.assert_allclose(alone, answer, atol=1e-5)
    np.testing.assert_allclose(together[0], together[2], atol=1e-5)
    (fewer,) = decode(segmenter, encoder, [Request(View(IMAGE, 0), references=show(1))])
    assert float(np.abs(fewer - together[0]).max()) > 1e-5
