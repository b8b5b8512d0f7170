from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medprism.core.errors import InternalError
from medprism.objectives.structure import border_cross_entropy, border_weight, structure_loss


def draw(rows: int = 2, height: int = 9, width: int = 13) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(3)
    target = torch.zeros(rows, height, width, dtype=torch.float64)
    target[0, 2:6, 5:] = 1
    target[0, 1, 3] = 0.25
    return 3 * torch.randn(rows, height, width, generator=rng, dtype=torch.float64), target


def literal(logits: np.ndarray, target: np.ndarray, window: int) -> float:
    """Return the loss of one output of one image, pixel by pixel."""
    height, width = target.shape
    reach = window // 2
    weighted, weights, overlap, total = 0.0, 0.0, 0.0, 0.0
    for i in range(height):
        for j in range(width):
            around = 0.0
            for k in range(i - reach, i + reach + 1):
                for m in range(j - reach, j + reach + 1):
                    if 0 <= k < height and 0 <= m < width:
                        around += target[k, m]
            weight = 1 + 2 * abs(around / window**2 - target[i, j])
            p = 1 / (1 + math.exp(-logits[i, j]))
            entropy = -target[i, j] * math.log(p) - (1 - target[i, j]) * math.log(1 - p)
            weighted, weights = weighted + weight * entropy, weights + weight
            overlap, total = overlap + p * target[i, j], total + p + target[i, j]
    return 0.5 * (1 - (2 * overlap + 1) / (total + 1)) + 0.5 * weighted / weights


@pytest.mark.parametrize("window", [3, 5, 31])
def test_the_loss_is_that_of_a_loop_over_pixels(window: int) -> None:
    logits, target = draw()
    found = structure_loss((logits, -logits), target, window)
    for row in range(2):
        one, other = logits[row].numpy(), -logits[row].numpy()
        expected = sum(literal(x, target[row].numpy(), window) for x in (one, other))
        assert math.isclose(float(found[row]), expected, rel_tol=1e-10)


def test_borders_count_up_to_three_times() -> None:
    target = torch.zeros(1, 90, 80)
    target[0, 20:60, 30:] = 1
    weight = border_weight(target)
    assert weight.min() == 1
    assert 2 < weight.max() < 3
    rows, cols = (weight[0] == weight.max()).nonzero()[0].tolist()
    assert (rows, cols) in {(20, 30), (59, 30), (20, 79), (59, 79)}


def test_a_request_does_not_change_another() -> None:
    logits, target = draw()
    whole = structure_loss((logits,), target, 5)
    alone = structure_loss((logits[1:],), target[1:], 5)
    assert torch.equal(whole[1:], alone)
    assert float(structure_loss((logits[:1],), target[:1], 5)) != float(alone)


def test_half_precision_sums_in_full() -> None:
    logits, target = draw()
    half = logits.bfloat16()
    found = border_cross_entropy(half, target.float(), 5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, border_cross_entropy(half.float(), target.float(), 5))


def test_no_output_is_refused() -> None:
    with pytest.raises(InternalError, match="no output"):
        structure_loss((), draw()[1])
