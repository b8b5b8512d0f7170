"""The golden lists of K-Prism."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from medprism.models.kprism.config import KPrismConfig, kprism_base, kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism
from tests.models.golden_layout import GoldenLayouts

FROZEN: Final[dict[str, Callable[[], KPrismConfig]]] = {
    "kprism-base": kprism_base,
    "kprism-compact": partial(kprism_compact, 33),
    "kprism-nano": partial(kprism_nano, 3),
}

LAYOUTS: Final = GoldenLayouts(Path(__file__).parent, lambda name: KPrism(FROZEN[name]()))

if __name__ == "__main__":
    for preset in FROZEN:
        LAYOUTS.write(preset)
