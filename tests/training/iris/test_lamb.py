from __future__ import annotations

import math

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.training.iris.lamb import Lamb


def literal_lamb(
    weights: list[float], gradients: list[list[float]], rate: float, decay: float
) -> list[float]:
    """Follow Algorithm 2 of the paper number by number."""
    first, second, eps = 0.9, 0.999, 1e-6
    w, m, v = list(weights), [0.0] * len(weights), [0.0] * len(weights)
    for t, g in enumerate(gradients, start=1):
        r = []
        for i in range(len(w)):
            m[i] = first * m[i] + (1 - first) * g[i]
            v[i] = second * v[i] + (1 - second) * g[i] * g[i]
            m_hat, v_hat = m[i] / (1 - first**t), v[i] / (1 - second**t)
            r.append(m_hat / (math.sqrt(v_hat) + eps) + decay * w[i])
        ratio = math.sqrt(sum(x * x for x in w)) / math.sqrt(sum(x * x for x in r))
        w = [x - rate * ratio * u for x, u in zip(w, r, strict=True)]
    return w


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_are_those_of_the_algorithm(decay: float) -> None:
    rng = torch.Generator().manual_seed(3)
    shapes = ((3, 2), (4,))
    tensors = [torch.randn(*s, generator=rng, dtype=torch.float64) for s in shapes]
    gradients = [
        [torch.randn(*s, generator=rng, dtype=torch.float64) for s in shapes] for _ in "abcde"
    ]
    parameters = [t.clone().requires_grad_() for t in tensors]
    optimizer = Lamb(parameters, 0.05, weight_decay=decay)
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
    for index, parameter in enumerate(parameters):
        expected = literal_lamb(
            tensors[index].flatten().tolist(),
            [step[index].flatten().tolist() for step in gradients],
            0.05,
            decay,
        )
        torch.testing.assert_close(
            parameter.detach().flatten(), torch.tensor(expected, dtype=torch.float64)
        )


def test_a_tensor_of_zeros_still_moves_and_a_step_is_bounded() -> None:
    zero = torch.zeros(3, requires_grad=True)
    large = torch.full((3,), 1e4, requires_grad=True)
    optimizer = Lamb([zero, large], 0.1)
    zero.grad, large.grad = torch.ones(3), torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(zero.detach(), torch.full((3,), -0.1))
    # Ten times the rate, not ten thousand times.
    torch.testing.assert_close(large.detach(), torch.full((3,), 1e4 - 1.0))


def test_what_has_no_gradient_stays_and_a_closure_is_called() -> None:
    still = torch.ones(2, requires_grad=True)
    moved = torch.ones(2, requires_grad=True)
    optimizer = Lamb([still, moved], 0.1)

    def closure() -> float:
        loss = moved.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 2.0
    assert still.tolist() == [1.0, 1.0]
    assert (moved < 1).all()


def test_settings_outside_their_range_are_refused() -> None:
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(ConfigError, match="rates above 0"):
        Lamb([weight], 0.0)
    with pytest.raises(ConfigError, match="betas"):
        Lamb([weight], 0.1, betas=(1.0, 0.9))
