"""Sums over the processes of a run; one that is gone is said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from medprism.core.errors import LostProcessError


@contextmanager
def noticing_loss() -> Iterator[None]:
    """Turn what torch says about a broken connection into one sentence.

    Raises:
        LostProcessError: another process has ended, or does not answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LostProcessError(
            f"another of the {dist.get_world_size()} processes of this run has ended or cannot be "
            f"reached ({reason}); the state that was saved last is whole: start all of them again "
            "with --resume"
        ) from error


def sum_up(tensor: Tensor) -> Tensor:
    """Add a tensor up over all processes, in place, and return it.

    Raises:
        LostProcessError: see `noticing_loss`.
    """
    with noticing_loss():
        dist.all_reduce(tensor)
    return tensor


class _Sum(torch.autograd.Function):
    """The sum over all processes; a gradient of it is one of every process's part."""

    @staticmethod
    def forward(ctx: object, part: Tensor) -> Tensor:
        return sum_up(part.clone())

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return sum_up(gradient.contiguous().clone())


def differentiable_sum(part: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; gradients go back to all of them.

    The loss that is differentiated is the sum of all processes' losses, so every one of them has
    to run backward.
    """
    total: Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]
    return total
