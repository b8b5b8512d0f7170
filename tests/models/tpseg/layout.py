"""Names and shapes of what a checkpoint of TP-Seg holds, and the golden lists of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch

from medprism.models.catalog import TPSEG_PRESETS
from medprism.models.tpseg.model import TPSeg

TASKS: Final = 3


def golden_path(name: str) -> Path:
    """Return where the golden list of a preset lies."""
    return Path(__file__).with_name(f"golden_{name.removeprefix('tpseg-')}.json")


def layout_of(name: str) -> dict[str, str]:
    """Return the shape and dtype of every tensor of a preset by name, without allocating it."""
    with torch.device("meta"):
        model = TPSeg(TPSEG_PRESETS[name].config(TASKS))
    return {
        key: f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {str(tensor.dtype).split('.')[1]}"
        for key, tensor in model.state_dict().items()
    }


if __name__ == "__main__":
    for preset in TPSEG_PRESETS:
        text = json.dumps(layout_of(preset), indent=1) + "\n"
        golden_path(preset).write_text(text, encoding="utf-8")
