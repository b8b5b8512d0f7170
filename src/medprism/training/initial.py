"""What a run begins with: weights drawn by a seed, or those of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from medprism.core.errors import CheckpointError
from medprism.models.checkpoint import Checkpoint

Built = TypeVar("Built")

# The tensors that have one row a class.
CLASS_TENSORS: Final = ("classes.content", "classes.position")


def draw_weights(seed: int, make: Callable[[], Built]) -> Built:
    """Make something whose weights are drawn by a seed; nobody else's draws change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def begin_with(
    model: nn.Module, checkpoint: Checkpoint, growing: Collection[str] = CLASS_TENSORS
) -> None:
    """Copy a checkpoint's weights into a model; classes it does not know stay as they were drawn.

    The model's class table must begin with the checkpoint's; `growing` are the names of the
    tensors that have one row a class.

    Raises:
        CheckpointError: the checkpoint is of another preset or architecture.
    """
    own = model.state_dict()
    _check_layout(own, checkpoint, growing)
    with torch.no_grad():
        for name, stored in checkpoint.tensors.items():
            target = own[name]
            part = target[: len(stored)] if name in growing else target
            part.copy_(stored.to(part.dtype))


def _check_layout(
    own: Mapping[str, Tensor], checkpoint: Checkpoint, growing: Collection[str]
) -> None:
    stored = checkpoint.tensors
    wrong = sorted(own.keys() ^ stored.keys()) or [
        name
        for name, tensor in stored.items()
        if not _fits(tensor.shape, own[name].shape, may_grow=name in growing)
    ]
    if wrong:
        raise CheckpointError(
            f"checkpoint {checkpoint.info.name!r} cannot begin this run: {len(wrong)} tensors "
            f"differ, first {wrong[0]}; choose one of the same preset"
        )


def _fits(stored: torch.Size, own: torch.Size, *, may_grow: bool) -> bool:
    if not may_grow:
        return stored == own
    return stored[1:] == own[1:] and stored[0] <= own[0]
