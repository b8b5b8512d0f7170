from __future__ import annotations

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.models.zoo.universeg import UniverSeg, UniverSegConfig

SIZES = {2: (16, 24), 3: (8, 16, 24)}


def draw(ndim: int, rows: int = 2, refs: int = 3) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(6)
    size = SIZES[ndim]
    return (
        torch.randn(rows, 1, *size),
        torch.randn(rows, refs, 1, *size),
        (torch.rand(rows, refs, *size) > 0.8).float(),
    )


def make(ndim: int) -> UniverSeg:
    torch.manual_seed(1)
    return UniverSeg(UniverSegConfig(ndim=ndim, widths=(5, 6, 7))).eval()


def test_the_published_size_is_about_one_million() -> None:
    with torch.device("meta"):
        model = UniverSeg(UniverSegConfig())
    assert 1.1e6 < sum(p.numel() for p in model.parameters()) < 1.25e6


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_parameter_learns_and_references_may_come_in_any_order(ndim: int) -> None:
    model = make(ndim)
    image, reference, mask = draw(ndim)
    logits = model(image, reference, mask)
    assert logits.shape == (2, *SIZES[ndim])
    turned = model(image, reference.flip(1), mask.flip(1))
    torch.testing.assert_close(turned, logits, atol=1e-5, rtol=1e-5)
    assert float((model(image, reference, 1 - mask) - logits).detach().abs().max()) > 1e-4
    logits.square().mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # What the last block makes of the references, nobody reads.
    assert silent == ["up.1.reference.weight", "up.1.reference.bias"]


def test_a_neighbour_in_the_batch_changes_nothing() -> None:
    model, (image, reference, mask) = make(2), draw(2)
    alone = model(image[1:], reference[1:], mask[1:])
    torch.testing.assert_close(model(image, reference, mask)[1:], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [{"channels": 0}, {"widths": (8,)}, {"widths": (8, 0)}])
def test_settings_are_checked(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="a UniverSeg needs"):
        UniverSegConfig(**change)  # type: ignore[arg-type]
