from __future__ import annotations

import torch
from torch.nn import functional

from medprism.objectives.cross_entropy import cross_entropy


def _pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    logits = 4 * torch.randn(3, 5, 8, generator=generator, dtype=torch.float64)
    return logits, torch.rand(3, 5, 8, generator=generator, dtype=torch.float64)


def test_equals_the_formula_and_torch() -> None:
    logits, target = _pair()
    probability = 1 / (1 + torch.exp(-logits))
    literal = -target * probability.log() - (1 - target) * (1 - probability).log()
    torch.testing.assert_close(cross_entropy(logits, target), literal.mean((1, 2)))
    whole = functional.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(cross_entropy(logits, target).mean(), whole)


def test_gradient() -> None:
    logits, target = _pair()
    small = logits[:2, :3, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: cross_entropy(given, target[:2, :3, :4]), (small,)
    )


def test_extreme_and_low_precision_logits_stay_finite() -> None:
    logits = torch.tensor([[[400.0, -400.0]], [[3.0, -2.0]]], dtype=torch.bfloat16)
    target = torch.tensor([[[0.0, 0.0]], [[1.0, 0.5]]])
    loss = cross_entropy(logits, target)
    assert loss.dtype == torch.float32
    assert loss[0].item() == 200.0
    torch.testing.assert_close(
        loss[1].double(), cross_entropy(logits.double(), target.double())[1], rtol=1e-6, atol=0
    )
