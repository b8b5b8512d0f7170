"""Several processes as one run: each learns from a share of every batch, gradients are averaged.

A share depends on the step and the rank only, and every random draw is named by the request's
number in the whole batch, so that the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.prototypes import BankTally
from medprism.training.step import Batch, StepRandomness


@runtime_checkable
class Replicas(Protocol):
    """The processes of a run, seen from one of them."""

    @property
    def rank(self) -> int:
        """Number of this process; 0 validates, logs and saves."""

    @property
    def count(self) -> int:
        """Number of processes."""

    def combine(self, model: nn.Module, *, stop: bool) -> bool:
        """Sum the gradients of all processes in place; say whether any wants to stop."""

    def wait(self) -> None:
        """Return when all processes have come here."""


class Alone:
    """A run of one process."""

    rank = 0
    count = 1

    def combine(self, model: nn.Module, *, stop: bool) -> bool:
        """Leave the gradients as they are."""
        return stop

    def wait(self) -> None:
        """Return at once."""


class ProcessGroup:
    """Processes started by torchrun, joined through torch.distributed (gloo on CPUs)."""

    def __init__(self) -> None:
        if not dist.is_initialized():
            raise ConfigError("no process group; start the run with torchrun")
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()

    def combine(self, model: nn.Module, *, stop: bool) -> bool:
        """Sum in one message: all gradients that this step has, and the wish to stop."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        wish = torch.tensor([float(stop)])
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), wish])
        dist.all_reduce(flat)
        start = 0
        for gradient in gradients:
            end = start + gradient.numel()
            gradient.copy_(flat[start:end].view_as(gradient))
            start = end
        return bool(flat[-1] > 0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        dist.barrier()


@contextmanager
def joined_processes() -> Iterator[Replicas]:
    """Join the processes that torchrun started with this one; without torchrun, stay alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    dist.init_process_group("gloo")
    try:
        yield ProcessGroup()
    finally:
        dist.destroy_process_group()


def share_of(
    batch: Batch, randomness: StepRandomness, rank: int, count: int
) -> tuple[Batch, StepRandomness, float]:
    """Return a rank's images with their requests, and the share of requests they are.

    Images go round the ranks; the requests on an image stay together. The loss of a rank counts
    by its share, so that the sum of all gradients is that of the mean over the whole batch.

    Raises:
        ConfigError: fewer images than processes.
    """
    if count == 1:
        return batch, randomness, 1.0
    if len(batch.images) < count:
        raise ConfigError(
            f"a batch of {len(batch.images)} images cannot feed {count} processes; "
            "use fewer processes or larger batches"
        )
    mine = torch.arange(rank, len(batch.images), count)
    requests = torch.isin(batch.image_index, mine).nonzero()[:, 0]
    part = Batch(
        images=batch.images[mine],
        image_index=torch.searchsorted(mine, batch.image_index[requests]),
        concept=batch.concept[requests],
        target=batch.target[requests],
        reference_images=batch.reference_images[requests],
        reference_masks=batch.reference_masks[requests],
    )
    numbers = tuple(int(number) for number in requests)
    return part, replace(randomness, numbers=numbers), len(requests) / len(batch.concept)


def add_up(tallies: tuple[BankTally, ...]) -> tuple[BankTally, ...]:
    """Return the sums of all processes' tallies, so that their banks stay alike."""
    if not dist.is_initialized():
        return tallies

    def summed(tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    return tuple(tally.map(summed) for tally in tallies)


def same_everywhere(tensors: dict[str, Tensor]) -> bool:
    """Say whether all processes hold equal tensors; a check at the start of a run."""
    digest = torch.stack([tensor.double().sum() for tensor in tensors.values()]).sum()[None]
    low, high = digest.clone(), digest.clone()
    dist.all_reduce(low, dist.ReduceOp.MIN)
    dist.all_reduce(high, dist.ReduceOp.MAX)
    return bool(low == high)
