"""A process group of one, in which sums over processes can be tried without starting any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist


@contextmanager
def single_group(folder: Path) -> Iterator[None]:
    """Join a group of this process alone."""
    rendezvous = f"file://{folder / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=rendezvous, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
