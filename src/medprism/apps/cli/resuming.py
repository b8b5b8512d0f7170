"""What `--resume` refuses, whatever is being trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medprism.core.errors import ConfigError


def refuse_given(given: Mapping[str, object], run: Path) -> None:
    """Refuse options that were fixed when the run was started; those not given are false or None.

    Raises:
        ConfigError: one of them is given.
    """
    extra = [name for name, value in given.items() if value]
    if extra:
        raise ConfigError(
            f"{', '.join(extra)} was fixed when the run {run} was started; "
            "leave it out with --resume, or start a new run"
        )


def refuse_other_preset(found: str, wanted: str, run: Path) -> None:
    """Refuse to go on with a run of another preset.

    Raises:
        ConfigError: it is of another one.
    """
    if found != wanted:
        raise ConfigError(
            f"the run {run} is of {found}, not {wanted}; "
            f"go on with `medprism train {found} --out {run} --resume`"
        )
