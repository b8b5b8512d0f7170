"""Several processes as one run: each learns from a share of every batch, gradients are added up.

A share depends on the step and the rank only, and every random draw is named by the request's
number in the whole batch, so that the number of processes changes nothing but rounding.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import nn

from medprism.core.errors import ConfigError
from medprism.models.blocks.prototypes import BankTally
from medprism.training.collective import noticing_loss, sum_up
from medprism.training.shared_norm import share_norms
from medprism.training.step import Batch, StepRandomness

# A process that ends is noticed at once; this is for a machine that vanishes. The first process
# prepares, validates and saves while the others wait.
PATIENCE: Final = timedelta(hours=1)


@runtime_checkable
class Replicas(Protocol):
    """The processes of a run, seen from one of them; every method is called by all of them alike.

    All but `rank` and `count` raise `LostProcessError` where another process has ended.
    """

    @property
    def rank(self) -> int:
        """Number of this process; 0 validates, logs and saves."""

    @property
    def count(self) -> int:
        """Number of processes."""

    def prepare(self, model: nn.Module) -> None:
        """Let what looks at a whole batch look at that of all processes."""

    def agree(self, said: str) -> None:
        """Refuse to go on unless all processes say the same."""

    def combine(
        self, model: nn.Module, figures: Sequence[float], *, stop: bool
    ) -> tuple[list[float], bool]:
        """Sum gradients in place, and figures; say whether any process wants to stop."""

    def add_up(self, tallies: tuple[BankTally, ...]) -> tuple[BankTally, ...]:
        """Return the sums of all processes' tallies, so that their banks stay alike."""

    def gather(self, mine: list[Any]) -> list[Any]:
        """Return what all processes have, those of the first one first."""

    def wait(self) -> None:
        """Return when all processes have come here."""


class Alone:
    """A run of one process."""

    rank = 0
    count = 1

    def prepare(self, model: nn.Module) -> None:
        """Leave the model as it is."""

    def agree(self, said: str) -> None:
        """Agree with oneself."""

    def combine(
        self, model: nn.Module, figures: Sequence[float], *, stop: bool
    ) -> tuple[list[float], bool]:
        """Leave everything as it is."""
        return list(figures), stop

    def add_up(self, tallies: tuple[BankTally, ...]) -> tuple[BankTally, ...]:
        """Return them."""
        return tallies

    def gather(self, mine: list[Any]) -> list[Any]:
        """Return them."""
        return mine

    def wait(self) -> None:
        """Return at once."""


class ProcessGroup:
    """Processes started by torchrun, joined through torch.distributed over gloo.

    Models are trained on CPUs, whose tensors NCCL does not take.
    """

    def __init__(self) -> None:
        if not dist.is_initialized():
            raise ConfigError("no process group; start the run with torchrun")
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()

    def prepare(self, model: nn.Module) -> None:
        """Share the statistics of batch normalisation."""
        share_norms(model)

    def agree(self, said: str) -> None:
        """Refuse to go on unless all processes say the same.

        Raises:
            ConfigError: they do not.
        """
        digest = hashlib.sha256(said.encode()).digest()
        low = torch.tensor(list(digest), dtype=torch.int64)
        high = low.clone()
        with noticing_loss():
            dist.all_reduce(low, dist.ReduceOp.MIN)
            dist.all_reduce(high, dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            raise ConfigError(
                f"the {self.count} processes of this run do not begin alike (settings, step or "
                "weights differ); give all of them the same run folder, on a disk that all "
                "machines see, and the same version of medprism"
            )

    def combine(
        self, model: nn.Module, figures: Sequence[float], *, stop: bool
    ) -> tuple[list[float], bool]:
        """Sum in one message: all gradients that this step has, the figures, the wish to stop."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        said = torch.tensor([*figures, float(stop)], dtype=gradients[0].dtype)
        flat = sum_up(torch.cat([*(gradient.reshape(-1) for gradient in gradients), said]))
        start = 0
        for gradient in gradients:
            end = start + gradient.numel()
            gradient.copy_(flat[start:end].view_as(gradient))
            start = end
        *summed, wish = flat[start:].tolist()
        return summed, wish > 0

    def add_up(self, tallies: tuple[BankTally, ...]) -> tuple[BankTally, ...]:
        """Return the sums of all processes' tallies."""
        return tuple(tally.map(lambda tensor: sum_up(tensor.clone())) for tally in tallies)

    def gather(self, mine: list[Any]) -> list[Any]:
        """Return what all processes have, those of the first one first."""
        parts: list[list[Any] | None] = [None] * self.count
        with noticing_loss():
            dist.all_gather_object(parts, mine)
        return [one for part in parts for one in part or ()]

    def wait(self) -> None:
        """Return when all processes have come here."""
        with noticing_loss():
            dist.barrier()


@contextmanager
def joined_processes() -> Iterator[Replicas]:
    """Join the processes that torchrun started with this one; without torchrun, stay alone.

    Raises:
        ConfigError: the others cannot be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Alone()
        return
    try:
        dist.init_process_group("gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"cannot join the {count} processes of this run ({reason}); start all of them with "
            "torchrun, at an address that every machine reaches"
        ) from error
    try:
        yield ProcessGroup()
    finally:
        dist.destroy_process_group()


def share_of(
    batch: Batch, randomness: StepRandomness, rank: int, count: int
) -> tuple[Batch, StepRandomness, float]:
    """Return a share of the images with their requests, and the part of all requests they are.

    Images go round the shares; the requests on an image stay together. The loss of a share counts
    by its part, so that the sum of all gradients is that of the mean over the whole batch.

    Raises:
        ConfigError: fewer images than shares.
    """
    if count == 1:
        return batch, randomness, 1.0
    if len(batch.images) < count:
        raise ConfigError(
            f"a batch of {len(batch.images)} images cannot feed {count} processes (or processes "
            "times --accumulate); use fewer of them or larger batches"
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
