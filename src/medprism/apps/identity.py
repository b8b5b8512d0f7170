"""How every app takes identity out of what it hands on."""

from __future__ import annotations

import os
from typing import Final

from medprism.io.deidentify import Deidentifier

KEY_VARIABLE: Final = "MEDPRISM_DEIDENTIFY_KEY"


def open_deidentifier() -> Deidentifier:
    """Return what hides patients, with the key of the environment if there is one.

    Raises:
        ConfigError: the key is so short that it can be guessed.
    """
    key = os.environ.get(KEY_VARIABLE)
    return Deidentifier() if key is None else Deidentifier(key.encode())
