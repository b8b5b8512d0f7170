from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medprism.core.errors import ConfigError, LostProcessError
from medprism.training.collective import differentiable_sum, noticing_loss, sum_up

from .single_group import single_group


def test_a_sum_over_one_process_is_its_own_part_and_so_is_its_gradient(tmp_path: Path) -> None:
    part = torch.tensor([1.0, -2.0, 5.0], requires_grad=True)
    with single_group(tmp_path):
        assert torch.equal(sum_up(part.detach().clone()), part.detach())
        (differentiable_sum(part) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert part.grad is not None and part.grad.tolist() == [1.0, 2.0, 3.0]


def test_a_broken_connection_is_one_sentence(tmp_path: Path) -> None:
    with (
        single_group(tmp_path),
        pytest.raises(LostProcessError, match=r"ended .*\(Connection closed by peer\).*--resume"),
        noticing_loss(),
    ):
        raise RuntimeError("Connection closed by peer\nand a stack of calls")


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ConfigError, match="mine"), noticing_loss():
        raise ConfigError("mine")
