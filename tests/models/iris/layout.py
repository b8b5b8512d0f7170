"""The golden lists of Iris."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torch import nn

from medprism.models.catalog import IRIS_PRESETS, SLICE_IRIS_PRESETS
from medprism.models.iris.model import Iris
from medprism.models.iris.slices import SliceIris
from tests.models.golden_layout import GoldenLayouts

CLASSES: Final = 3
PRESETS: Final = {**IRIS_PRESETS, **SLICE_IRIS_PRESETS}


def build(name: str) -> nn.Module:
    """Build a preset as its checkpoints hold it."""
    config = PRESETS[name].config(CLASSES)
    return SliceIris(config) if name in SLICE_IRIS_PRESETS else Iris(config)


LAYOUTS: Final = GoldenLayouts(Path(__file__).parent, build)

if __name__ == "__main__":
    for preset in PRESETS:
        LAYOUTS.write(preset)
