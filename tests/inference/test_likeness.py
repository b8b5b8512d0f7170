from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from medprism.core.image import Image
from medprism.engines.loaded import LoadedModel
from medprism.inference import likeness
from medprism.inference.likeness import Likeness
from medprism.inference.memory import Memory
from medprism.models.segmenter import Features
from tests.inference.fake_segmenter import CountingSegmenter, fake_model


class _Patterned(CountingSegmenter):
    """Features that tell rows from columns: mean changes along both axes."""

    def encode(self, image: Tensor) -> Features:
        shallow = super().encode(image).maps[0]
        down, right = (image.mean(1).diff(dim=axis).abs().mean((1, 2)) for axis in (1, 2))
        return Features((shallow, torch.stack((down, right), 1)[..., None, None]))


def _stripes(along: int, seed: int) -> Image:
    """Return stripes of some brightness, with noise."""
    lines = np.sin(np.indices((40, 56))[along] * 1.3) * 90 + 120
    noise = np.random.default_rng(seed).normal(0, 4, lines.shape)
    return Image.from_array(np.clip(lines + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def model() -> LoadedModel:
    return fake_model(_Patterned())


@pytest.fixture
def alike() -> Likeness:
    return Likeness(Memory.of(2**20))


def test_alike_images_are_nearer_than_others(alike: Likeness, model: LoadedModel) -> None:
    rows, more_rows, columns = _stripes(0, 1), _stripes(0, 2), _stripes(1, 3)
    assert alike.between(model, rows, rows) == pytest.approx(1.0)
    assert alike.between(model, rows, more_rows) > 0.99
    assert alike.between(model, rows, columns) < 0.6
    assert alike.between(model, rows, columns) == alike.between(model, columns, rows)


def test_it_is_the_cosine_of_the_mean_features(alike: Likeness, model: LoadedModel) -> None:
    one, other = _stripes(0, 1), _stripes(1, 3)
    found = alike.between(model, one, other)
    vectors = []
    for image in (one, other):
        view = likeness.View(image, 0)
        encoder = likeness.Encoder(model, Memory.of(0).cache)
        vectors.append(encoder.features(view).maps[-1][0].mean((1, 2)).numpy())
    a, b = vectors
    assert found == pytest.approx(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), abs=1e-6)


def test_every_image_is_encoded_once(alike: Likeness, model: LoadedModel) -> None:
    images = [_stripes(0, seed) for seed in range(3)]
    segmenter = model.segmenter
    assert isinstance(segmenter, _Patterned)
    for _ in range(2):
        for other in images[1:]:
            alike.between(model, images[0], other)
    assert segmenter.calls.encode == 3
    # Other weights see other things.
    alike.between(replace(model, weights_hash="fake-2"), images[0], images[1])
    assert segmenter.calls.encode == 5


def test_an_image_without_any_features_is_like_nothing(alike: Likeness, model: LoadedModel) -> None:
    assert (
        alike.between(model, Image.from_array(np.zeros((40, 56), np.uint8)), _stripes(0, 1)) == 0.0
    )


def test_a_volume_is_seen_by_its_middle_slice(alike: Likeness, model: LoadedModel) -> None:
    rows, columns = (_stripes(along, 1).voxels[0, ..., 0] for along in (0, 1))
    volume = Image.from_array(np.stack([columns, rows, columns]))
    assert alike.between(model, volume, _stripes(0, 2)) > alike.between(
        model, volume, _stripes(1, 2)
    )


def test_vectors_are_let_go_when_they_are_many(
    alike: Likeness, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "_MOST", 2)
    images = [_stripes(0, seed) for seed in range(4)]
    for image in images:
        alike.between(model, image, image)
    assert len(alike._vectors) == 2
