"""How the processes of a run open it: the first lays its folder out, the others follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from medprism.core.errors import ConfigError
from medprism.training.distributed import Replicas

Opened = TypeVar("Opened")


def open_together(
    replicas: Replicas,
    minutes: float | None,
    begin: Callable[[], Opened],
    join: Callable[[], Opened],
) -> Opened:
    """Return what `begin` gives the first process, and `join` all others once it has.

    Raises:
        ConfigError: minutes for several processes.
        LostProcessError: the first process could not begin.
    """
    if replicas.rank > 0:
        replicas.wait()
        return join()
    if replicas.count > 1 and minutes is not None:
        raise ConfigError(
            f"--minutes {minutes:g} cannot be timed with {replicas.count} processes; give --steps"
        )
    opened = begin()
    replicas.wait()
    return opened
