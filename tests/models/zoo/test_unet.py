from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from medprism.core.errors import ConfigError
from medprism.models.zoo.unet import UNet, UNetConfig

CONFIG = UNetConfig(classes=3, widths=(4, 8, 12))


def test_every_class_gets_a_map_of_the_canvas() -> None:
    model = UNet(CONFIG).eval()
    for size in ((16, 28), (32, 20)):
        assert model(torch.randn(2, 3, *size)).shape == (2, 3, *size)
    assert CONFIG.multiple == 4
    assert sum(p.numel() for p in UNet(UNetConfig(classes=2)).parameters()) < 1_500_000


def test_every_parameter_learns_and_two_classes_are_told_apart() -> None:
    torch.manual_seed(1)
    model = UNet(UNetConfig(classes=2, widths=(8, 16, 24)))
    image = torch.zeros(1, 3, 24, 32)
    target = torch.zeros(1, 2, 24, 32)
    target[:, 0, 3:11, 5:22], target[:, 1, 14:22, 2:9] = 1, 1
    image += target[:, :1] - target[:, 1:] + 0.05 * torch.randn(1, 3, 24, 32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for step in range(110):
        loss = F.binary_cross_entropy_with_logits(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = [p.grad for p in model.parameters()]
            assert all(g is not None and g.abs().sum() > 0 for g in gradients)
        optimizer.step()
    mask = model(image) > 0
    assert ((mask & (target > 0)).sum() * 2 / (mask.sum() + target.sum())) > 0.95


def test_a_neighbour_in_the_batch_changes_nothing() -> None:
    model = UNet(CONFIG).eval()
    images = torch.randn(3, 3, 16, 24)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [{"classes": 0}, {"widths": (8,)}, {"widths": (8, 0)}])
def test_settings_are_checked(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="a UNet needs"):
        UNetConfig(**{"classes": 1, **change})  # type: ignore[arg-type]
