from __future__ import annotations

import itertools

import numpy as np

from medprism.core.image import Image
from medprism.core.prompt import Click, Interactions
from medprism.inference.decoding import ReferenceView, Request, decode
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference
from medprism.inference.zoom import Crop
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import scene, volume

STACK, MASKS = volume()
IMAGE = Image.from_array(STACK)


def _examples(*seeds: int) -> tuple[ReferenceView, ...]:
    views = []
    for seed in seeds:
        # References of other sizes than the image: positions must be padded.
        image, masks = scene(seed)
        image, mask = image[: 88 - 8 * seed], masks["liver"][: 88 - 8 * seed]
        reference = Reference.from_pair(Image.from_array(image), mask)
        views.append(ReferenceView(reference, View(reference.image, 0)))
    return tuple(views)


def _requests() -> list[Request]:
    clicks = Interactions((Click(30, 30, True), Click(60, 70, False)))
    one_click = Interactions((Click(60, 75, True),))
    previous = np.full((80, 96), 0.25, np.float32)
    return [
        Request(View(IMAGE, 0), concept=1),
        Request(View(IMAGE, 1), interactions=clicks),
        Request(View(IMAGE, 0), references=_examples(1, 2)),
        Request(View(IMAGE, 0, Crop(0, 0, 64, 64)), concept=0),
        Request(View(IMAGE, 1), concept=2),
        Request(View(IMAGE, 2), interactions=one_click, previous=previous),
        Request(View(IMAGE, 2), references=_examples(1)),
        Request(View(IMAGE, 2), concept=0, interactions=one_click),
        Request(View(IMAGE, 3), references=_examples(2), interactions=clicks),
        Request(View(IMAGE, 0), concept=0),
    ]


def _decode(requests: list[Request], chunk_pixels: int = 2**20) -> list[np.ndarray]:
    model = fake_model()
    encoder = Encoder(model, EncodingCache())
    return decode(model.segmenter, encoder, requests, chunk_pixels)


def test_batches_chunks_and_neighbours_change_nothing() -> None:
    requests = _requests()
    alone = [_decode([request])[0] for request in requests]
    for chunk_pixels in (1, 2 * 80 * 96, 2**20):
        for one, other in zip(alone, _decode(requests, chunk_pixels), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_order_of_requests_changes_nothing() -> None:
    requests = _requests()
    order = [3, 9, 0, 7, 1, 8, 2, 6, 5, 4]
    shuffled = _decode([requests[index] for index in order])
    for index, answer in zip(order, shuffled, strict=True):
        np.testing.assert_allclose(answer, _decode(requests)[index], atol=1e-5)


def test_requests_of_one_make_up_and_size_are_one_batch() -> None:
    segmenter = CountingSegmenter()
    model = fake_model(segmenter)
    requests = _requests()
    decode(segmenter, Encoder(model, EncodingCache()), requests)
    # Classes; clicks; references; a class on a crop; class and clicks; references and clicks.
    assert segmenter.calls.decode == [3, 2, 2, 1, 1, 1]
    assert segmenter.calls.encode == 5
    assert segmenter.calls.encode_references == 2


def test_the_memory_bound_splits_a_batch() -> None:
    segmenter = CountingSegmenter()
    model = fake_model(segmenter)
    requests = [Request(View(IMAGE, index), concept=0) for index in range(5)]
    decode(segmenter, Encoder(model, EncodingCache()), requests, chunk_pixels=2 * 80 * 96)
    assert segmenter.calls.decode == [2, 2, 1]


def test_absent_knowledge_is_absent() -> None:
    segmenter = CountingSegmenter()
    model = fake_model(segmenter)
    for request in (_requests()[0], _requests()[1], _requests()[2]):
        decode(segmenter, Encoder(model, EncodingCache()), [request])
    by_class, by_click, by_reference = segmenter.calls.prompts
    present = [
        [member is not None for member in (p.concept, p.references, p.clicks, p.dense)]
        for p in (by_class, by_click, by_reference)
    ]
    assert present == [
        [True, False, False, False],
        [False, False, True, True],
        [False, True, False, False],
    ]
    assert by_click.dense is not None
    assert float(by_click.dense[:, 2].max()) == 0.0


def test_the_previous_probability_is_the_third_channel() -> None:
    segmenter = CountingSegmenter()
    model = fake_model(segmenter)
    decode(segmenter, Encoder(model, EncodingCache()), [_requests()[5]])
    (prompts,) = segmenter.calls.prompts
    assert prompts.dense is not None
    assert prompts.dense[0, 2].unique().tolist() == [0.25]
    assert prompts.dense[0, 0].sum() == 5


def test_the_order_of_references_changes_nothing() -> None:
    answers = []
    for order in itertools.permutations((0, 1, 2)):
        examples = _examples(*order)
        answers.append(_decode([Request(View(IMAGE, 0), references=examples)])[0])
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-5)
