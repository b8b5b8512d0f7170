"""The golden lists of Iris."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.model import Iris
from tests.models.golden_layout import GoldenLayouts

CLASSES: Final = 3

LAYOUTS: Final = GoldenLayouts(
    Path(__file__).parent, lambda name: Iris(IRIS_PRESETS[name].config(CLASSES))
)

if __name__ == "__main__":
    for preset in IRIS_PRESETS:
        LAYOUTS.write(preset)
