"""How many threads torch may use."""

from __future__ import annotations

import torch

from medprism.core.errors import ConfigError


def use_threads(threads: int | None, name: str = "threads") -> None:
    """Let torch use so many threads in this process; None leaves it as it is.

    `name` is what the setting is called where it was given.

    Raises:
        ConfigError: a number below 1.
    """
    if threads is None:
        return
    if threads < 1:
        raise ConfigError(f"{name} must be at least 1, got {threads}")
    torch.set_num_threads(threads)
