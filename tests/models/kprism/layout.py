"""Names and shapes of what a checkpoint holds, and the golden lists of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch

from medprism.models.kprism.config import KPrismConfig, kprism_base, kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism

FROZEN: Final[dict[str, Callable[[], KPrismConfig]]] = {
    "base": kprism_base,
    "compact": partial(kprism_compact, 33),
    "nano": partial(kprism_nano, 3),
}


def golden_path(name: str) -> Path:
    """Return where the golden list of a model lies."""
    return Path(__file__).with_name(f"golden_{name}.json")


def layout_of(name: str) -> dict[str, str]:
    """Return the shape and dtype of every tensor of a model by name, without allocating it."""
    with torch.device("meta"):
        model = KPrism(FROZEN[name]())
    return {
        key: f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {str(tensor.dtype).split('.')[1]}"
        for key, tensor in model.state_dict().items()
    }


if __name__ == "__main__":
    for model_name in FROZEN:
        text = json.dumps(layout_of(model_name), indent=1) + "\n"
        golden_path(model_name).write_text(text, encoding="utf-8")
