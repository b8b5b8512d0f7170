from __future__ import annotations

import torch

from medprism.models.blocks.precision import full_precision


def test_autocast_is_off_inside_and_on_again_behind_it() -> None:
    one = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(one.device):
            assert (one @ one).dtype == torch.float32
        assert (one @ one).dtype == torch.bfloat16


def test_a_device_without_autocast_is_left_alone() -> None:
    with full_precision(torch.device("meta")):
        assert torch.zeros(2, 2, device="meta").is_meta
