from __future__ import annotations

import torch

from medprism.models.tpseg.reduction import ReceptiveBlock


def test_branches_reach_as_far_as_their_dilation() -> None:
    torch.manual_seed(1)
    block = ReceptiveBlock(4, 6).double()
    x = torch.randn(1, 4, 41, 43, dtype=torch.float64)
    assert block(x).shape == (1, 6, 41, 43)
    for branch, reach in zip(block.branches, (0, 1 + 3, 2 + 5, 3 + 7), strict=True):
        for part in branch.modules():
            if isinstance(part, torch.nn.GroupNorm):
                # Statistics of the image would let every position see all others.
                part.forward = lambda y: y
        changed = x.clone()
        changed[0, :, 20, 21] += 1
        moved = (branch(changed) - branch(x))[0].abs().amax(0) > 0
        rows, cols = moved.nonzero(as_tuple=True)
        assert (int(rows.min()), int(rows.max())) == (20 - reach, 20 + reach)
        assert (int(cols.min()), int(cols.max())) == (21 - reach, 21 + reach)


def test_every_parameter_learns() -> None:
    torch.manual_seed(1)
    block = ReceptiveBlock(4, 6)
    block(torch.randn(2, 4, 9, 7)).square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in block.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in block.parameters())
