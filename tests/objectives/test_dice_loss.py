from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss

from medprism.objectives.dice_loss import SMOOTHING, dice_loss


def _pair(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(4, 7, 11, generator=generator, dtype=dtype)
    coverage = torch.rand(4, 7, 11, generator=generator, dtype=dtype)
    return logits, (2 * coverage - 0.7).clamp(0, 1)


def test_equals_monai() -> None:
    logits, target = _pair()
    monai = DiceLoss(sigmoid=True, reduction="none", smooth_nr=SMOOTHING, smooth_dr=SMOOTHING)
    expected = monai(logits[:, None], target[:, None]).reshape(4)
    torch.testing.assert_close(dice_loss(logits, target), expected, rtol=1e-12, atol=0)


def test_gradient() -> None:
    logits, target = _pair()
    small = logits[:2, :3, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: dice_loss(given, target[:2, :3, :4]), (small,))


def test_an_empty_target_rewards_an_empty_prediction() -> None:
    nothing = torch.zeros(2, 6, 9)
    logits = torch.stack([torch.full((6, 9), -15.0), torch.full((6, 9), 15.0)])
    loss = dice_loss(logits, nothing)
    assert loss[0] < 1e-4
    assert loss[1] > 0.98


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_are_summed_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 256, 320, generator=generator).to(dtype)
    target = (torch.rand(2, 256, 320, generator=generator) > 0.4).to(dtype)
    loss = dice_loss(logits, target)
    assert loss.dtype == torch.float32
    exact = dice_loss(logits.double(), target.double())
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)


def test_requests_do_not_meet() -> None:
    logits, target = _pair()
    alone = torch.cat([dice_loss(logits[i : i + 1], target[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(dice_loss(logits, target), alone)
