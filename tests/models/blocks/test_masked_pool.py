from __future__ import annotations

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.models.blocks.masked_pool import check_pool, pool_under_masks
from tests.models.iris.literal import upsample_mask_pool
from tests.models.largest import largest_tensor

COARSE = {2: (5, 3), 3: (3, 2, 4)}


def draw(ndim: int, factor: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(ndim + factor)
    fine = tuple(side * factor for side in COARSE[ndim])
    features = torch.randn(2, 7, *COARSE[ndim], dtype=dtype)
    masks = (torch.rand(2, 4, *fine, dtype=dtype) > 0.8).to(dtype)
    masks[0, 1] = 0
    masks[1, 2] *= 0.5
    masks[1, 3] = 0
    masks[(1, 3, *(1,) * ndim)] = 1
    return features, masks


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("factor", [2, 4, 16])
def test_the_cheap_form_is_upsample_mask_pool(ndim: int, factor: int) -> None:
    features, masks = draw(ndim, factor if ndim == 2 else min(factor, 8), torch.float64)
    ours, literal = pool_under_masks(features, masks), upsample_mask_pool(features, masks)
    assert float((ours - literal).abs().max()) < 1e-9
    assert not ours[0, 1].any()
    assert ours[1, 2].abs().sum() > 0


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_other_pooling_keeps_the_area(ndim: int) -> None:
    features, masks = draw(ndim, 4, torch.float64)
    share = masks.flatten(2).mean(-1)[..., None]
    literal = upsample_mask_pool(features, masks) * share
    assert float((pool_under_masks(features, masks, "space") - literal).abs().max()) < 1e-9


def test_gradients_are_those_of_the_literal_form() -> None:
    features, masks = draw(3, 4, torch.float64)
    features.requires_grad_()
    towards = torch.randn(2, 4, 7, dtype=torch.float64)
    (ours,) = torch.autograd.grad((pool_under_masks(features, masks) * towards).sum(), features)
    (literal,) = torch.autograd.grad(
        (upsample_mask_pool(features, masks) * towards).sum(), features
    )
    assert float((ours - literal).abs().max()) < 1e-9


def test_no_map_with_channels_is_ever_as_large_as_the_image() -> None:
    features, masks = torch.randn(1, 64, 8, 8, 8), (torch.rand(1, 2, 32, 32, 32) > 0.9).float()
    full_map = 64 * 32**3
    assert largest_tensor(lambda: upsample_mask_pool(features, masks)) >= full_map
    # Nothing is larger than the masks themselves.
    assert largest_tensor(lambda: pool_under_masks(features, masks)) <= 2 * 32**3


def test_unknown_pooling_is_refused() -> None:
    with pytest.raises(ConfigError, match="use 'area' or 'space'"):
        check_pool("max")
