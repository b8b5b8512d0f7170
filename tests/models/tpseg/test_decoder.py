from __future__ import annotations

import math

import pytest
import torch

from medprism.models.tpseg.decoder import BACKGROUND, LESION, SimilarityBias, compare, pool_sides

from . import literal
from .scene import draw_scene, make_used, small, worst


@pytest.mark.parametrize("mode", ["ema", "learned", "frozen"])
def test_a_step_is_what_its_equations_say(mode: str) -> None:
    model = make_used(small(prototype_mode=mode), dtype=torch.float64)
    step, rng = model.steps[0], torch.Generator().manual_seed(7)
    low = torch.randn(3, 8, 10, 14, generator=rng, dtype=torch.float64)
    high = torch.randn(3, 16, 5, 7, generator=rng, dtype=torch.float64)
    found = step(low, high, torch.tensor([2, 0, 2])).logits
    for row, task in enumerate((2, 0, 2)):
        one = literal.decode_step(step, low[row : row + 1], high[row : row + 1], task)
        assert worst(found[row], one) < 1e-9


def test_the_bias_is_that_of_the_image_and_not_larger_than_the_prior() -> None:
    bias = SimilarityBias(5.0, 0.1)
    weak = torch.tensor([[[0.01, -0.02, 0.0]]])
    found = bias(torch.cat([weak, 100 * weak])).detach()
    assert worst(found[0], found[1]) < 1e-5
    assert found.abs().max() <= 5
    mean = 0.01
    assert math.isclose(float(found[0, 0, 0]), 5 * math.tanh(0.01 / mean / 0.1), rel_tol=1e-5)
    assert not bias(torch.zeros(1, 2, 2)).detach().any()


def test_sides_are_told_by_the_covered_share_and_small_ones_say_nothing() -> None:
    features = torch.zeros(1, 2, 2, 2)
    features[0, :, 0, 0], features[0, :, 0, 1] = torch.tensor([3.0, 0]), torch.tensor([0, 9.0])
    features[0, :, 1] = torch.tensor([[5.0, 0], [0, 5.0]]).T
    target = torch.zeros(1, 4, 4)
    target[0, :2, :2] = 1  # wholly covered
    target[0, 0, 2] = 1  # a quarter of a cell: neither side
    means, count = pool_sides(features, target, 0)
    assert count.tolist() == [[1, 2]]
    assert means[0, LESION].tolist() == [1, 0]
    assert means[0, BACKGROUND].tolist() == [0.5, 0.5]
    assert pool_sides(features, target, 1)[1].tolist() == [[0, 1]]
    assert pool_sides(features, torch.zeros(1, 4, 4), 0)[1].tolist() == [[0, 4]]


def test_similarity_is_the_difference_of_cosines() -> None:
    scene = draw_scene((0, 1), dtype=torch.float64)
    prototypes = torch.randn(2, 2, 3, dtype=torch.float64)
    found = compare(scene.image, prototypes)
    for slot, sign in ((LESION, 1), (BACKGROUND, -1)):
        cosine = torch.cosine_similarity(scene.image, prototypes[:, slot, :, None, None], dim=1)
        found = found - sign * cosine
    assert found.abs().max() < 1e-12
