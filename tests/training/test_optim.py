from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from medprism.training.optim import learning_rate, make_optimizer, set_rate

from .runs import make_nano, small_config


@given(
    steps=st.integers(2, 400),
    warmup=st.floats(0.0, 0.5),
    peak=st.floats(1e-4, 1e-1),
)
@settings(max_examples=60, deadline=None)
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(
    steps: int, warmup: float, peak: float
) -> None:
    config = small_config(steps, warmup_share=warmup, peak_rate=peak, final_rate=1e-5)
    rates = [learning_rate(step, config) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(peak)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    if steps > 2 + round(warmup * steps):
        assert rates[-1] == pytest.approx(1e-5)


def test_the_rate_is_that_of_the_schedulers_of_torch() -> None:
    config = small_config(100, warmup_share=0.1, peak_rate=1e-2, final_rate=1e-4)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-2)
    rise = LinearLR(optimizer, start_factor=0.1, end_factor=1.0, total_iters=9)
    fall = CosineAnnealingLR(optimizer, T_max=89, eta_min=1e-4)
    schedule = SequentialLR(optimizer, [rise, fall], milestones=[10])
    for step in range(100):
        assert learning_rate(step, config) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_the_rate_stays_at_its_end_beyond_the_last_step() -> None:
    config = small_config(10)
    assert learning_rate(500, config) == pytest.approx(config.final_rate)


def test_only_matrices_and_kernels_decay() -> None:
    model = make_nano()
    optimizer = make_optimizer(model, small_config(weight_decay=0.25))
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.25, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in plain["params"])
    covered = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert covered == {id(p) for p in model.parameters()}


def test_the_class_table_learns_at_its_own_rate() -> None:
    model = make_nano()
    optimizer = make_optimizer(model, small_config(class_rate=8.0))
    set_rate(optimizer, 0.25)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == (2.0 if name.startswith("classes.") else 0.25), name


def test_one_step_is_that_of_adamw() -> None:
    torch.manual_seed(1)
    module = torch.nn.Linear(3, 2)
    weight = module.weight.detach().clone()
    optimizer = make_optimizer(module, small_config(weight_decay=0.1, peak_rate=0.01))
    module(torch.ones(1, 3)).sum().backward()
    assert module.weight.grad is not None
    gradient = module.weight.grad.clone()
    optimizer.step()
    mean = 0.1 * gradient / (1 - 0.9)
    square = 0.01 * gradient.square() / (1 - 0.99)
    expected = weight * (1 - 0.01 * 0.1) - 0.01 * mean / (square.sqrt() + 1e-8)
    assert torch.allclose(module.weight, expected, atol=1e-7)
    assert math.isclose(optimizer.param_groups[0]["lr"], 0.01)
