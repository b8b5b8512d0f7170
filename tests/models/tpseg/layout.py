"""The golden lists of TP-Seg."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medprism.models.catalog import TPSEG_PRESETS
from medprism.models.tpseg.model import TPSeg
from tests.models.golden_layout import GoldenLayouts

TASKS: Final = 3

LAYOUTS: Final = GoldenLayouts(
    Path(__file__).parent, lambda name: TPSeg(TPSEG_PRESETS[name].config(TASKS))
)

if __name__ == "__main__":
    for preset in TPSEG_PRESETS:
        LAYOUTS.write(preset)
