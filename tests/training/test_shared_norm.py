from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from medprism.core.errors import ConfigError
from medprism.training.shared_norm import SharedBatchNorm, has_batch_norm, share_norms

from .single_group import single_group


def _model(seed: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    inner = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, momentum=0.3))
    model = nn.Sequential(inner, nn.ReLU(), nn.BatchNorm2d(6, affine=False), nn.GroupNorm(2, 6))
    with torch.no_grad():
        norm = inner[1]
        assert isinstance(norm, nn.BatchNorm2d)
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return model.double()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_with_one_process_it_is_batch_normalisation(tmp_path: Path, dtype: torch.dtype) -> None:
    one, other = _model().to(dtype), _model().to(dtype)
    before = dict(other.named_parameters())
    image = (torch.randn(4, 3, 9, 13) * 3 + 40).to(dtype)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    share_norms(other)
    assert [type(other[0][1]), type(other[2])] == [SharedBatchNorm] * 2
    assert other.state_dict().keys() == one.state_dict().keys()
    assert all(before[name] is parameter for name, parameter in other.named_parameters())
    with single_group(tmp_path):
        for _ in range(3):
            outputs = [model(image) for model in (one, other)]
            for output in outputs:
                output.square().mean(1).sin().sum().backward()
    assert torch.allclose(*outputs, atol=tolerance)
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=100 * tolerance), name
    for name, value in one.state_dict().items():
        assert torch.allclose(value.double(), other.state_dict()[name].double(), atol=tolerance)
    # What was learned is used alike, without any other process.
    assert torch.allclose(one.eval()(image), other.eval()(image), atol=tolerance)


def test_sharing_twice_changes_nothing() -> None:
    model = _model()
    share_norms(model)
    shared = model[2]
    share_norms(model)
    assert model[2] is shared and has_batch_norm(model)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3, momentum=None), nn.BatchNorm2d(3, track_running_stats=False)]
)
def test_statistics_that_cannot_be_shared_are_refused(norm: nn.BatchNorm2d) -> None:
    with pytest.raises(ConfigError, match="cannot be shared by processes"):
        share_norms(nn.Sequential(norm))
