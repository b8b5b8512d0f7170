"""Segment any medical image with a trained class, a few finished examples, or clicks.

The names below are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from medprism.core.image import Image
    from medprism.engines.loading import load
    from medprism.inference.reference_bank import ReferenceBank
    from medprism.inference.session import Session

    __version__: str

__all__ = ["Image", "ReferenceBank", "Session", "__version__", "load"]

_HOMES: Final = {
    "Image": "medprism.core.image",
    "ReferenceBank": "medprism.inference.reference_bank",
    "Session": "medprism.inference.session",
    "load": "medprism.engines.loading",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("medprism")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
