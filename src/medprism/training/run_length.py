"""What orders of every kind of training have in common: how long, and from which seed."""

from __future__ import annotations

from medprism.core.errors import ConfigError


def check_length(work: str, steps: int | None, minutes: float | None) -> None:
    """Refuse a length that is not given in one of the two units; `work` is what is to be done.

    Raises:
        ConfigError: both or neither are given, or minutes that no clock shows.
    """
    if (steps is None) == (minutes is None):
        raise ConfigError(f"give the length of {work} either in steps or in minutes")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise ConfigError(f"minutes must be above 0, got {minutes}")


def check_seed(seed: int | None) -> None:
    """Refuse a seed below 0; None is the recipe's.

    Raises:
        ConfigError: it is below 0.
    """
    if seed is not None and seed < 0:
        raise ConfigError(f"a seed is at least 0, got {seed}")
