from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from skimage.measure import block_reduce
from torch.nn import functional

from medprism.core.errors import InternalError
from medprism.objectives import segmentation
from medprism.objectives.segmentation import average_to_grid, request_loss


def _outputs(*grids: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randn(3, *grid, generator=generator, dtype=torch.float64) for grid in grids)


def _target() -> torch.Tensor:
    generator = torch.Generator().manual_seed(6)
    return (torch.rand(3, 16, 24, generator=generator) > 0.6).double()


def test_area_averages_equal_scikit_image() -> None:
    target = _target()
    expected = block_reduce(target.numpy(), (1, 4, 3), np.mean)
    np.testing.assert_allclose(average_to_grid(target, (4, 8)).numpy(), expected, rtol=1e-12)


def test_equals_the_sum_of_outside_losses() -> None:
    outputs, target, weights = _outputs((16, 24), (4, 6), (8, 12)), _target(), (1.0, 0.3, 0.5)
    dice = DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)
    expected = torch.zeros(3, dtype=torch.float64)
    for logits, weight in zip(outputs, weights, strict=True):
        reduced = functional.adaptive_avg_pool2d(target, logits.shape[1:])
        for request in range(3):
            entropy = functional.binary_cross_entropy_with_logits(logits[request], reduced[request])
            overlap = dice(logits[None, None, request], reduced[None, None, request])
            expected[request] += weight * (entropy + overlap.squeeze())
    torch.testing.assert_close(request_loss(outputs, target, weights), expected)


def test_each_grid_is_reduced_once() -> None:
    outputs = _outputs((4, 6), (8, 12), (4, 6), (8, 12))
    with mock.patch.object(segmentation, "average_to_grid", wraps=average_to_grid) as reduce:
        request_loss(outputs, _target(), (1.0, 1.0, 1.0, 1.0))
    assert [call.args[1] for call in reduce.call_args_list] == [(4, 6), (8, 12)]


def test_gradient_reaches_every_output() -> None:
    outputs = tuple(output[:1].requires_grad_() for output in _outputs((4, 6), (2, 3)))
    target = _target()[:1]
    assert torch.autograd.gradcheck(lambda *given: request_loss(given, target, (1.0, 0.4)), outputs)


def test_losses_are_per_request() -> None:
    outputs, target = _outputs((4, 6), (8, 12)), _target()
    together = request_loss(outputs, target, (1.0, 0.3))
    order = torch.tensor([2, 0, 1])
    swapped = request_loss(tuple(o[order] for o in outputs), target[order], (1.0, 0.3))
    torch.testing.assert_close(swapped, together[order])


def test_a_better_prediction_costs_less() -> None:
    target = _target()
    good = (8 * target - 4, 8 * average_to_grid(target, (4, 6)) - 4)
    bad = tuple(-logits for logits in good)
    assert (request_loss(good, target, (1.0, 0.3)) < request_loss(bad, target, (1.0, 0.3))).all()


def test_mistakes_of_the_caller_are_named() -> None:
    with pytest.raises(InternalError, match="2 outputs with 1 weights"):
        request_loss(_outputs((4, 6), (8, 12)), _target(), (1.0,))
    with pytest.raises(InternalError, match="0 outputs"):
        request_loss((), _target(), ())
    with pytest.raises(InternalError, match="5 x 6 does not divide the target of 16 x 24"):
        request_loss(_outputs((5, 6)), _target(), (1.0,))
