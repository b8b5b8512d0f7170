"""Names and shapes of what a checkpoint of a preset holds, and the golden lists of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn


@dataclass(frozen=True)
class GoldenLayouts:
    """The golden lists of one architecture, in a folder; `build` makes a preset by name."""

    folder: Path
    build: Callable[[str], nn.Module]

    def path(self, name: str) -> Path:
        """Return where the golden list of a preset lies."""
        return self.folder / f"golden_{name.partition('-')[2].replace('-', '_')}.json"

    def found(self, name: str) -> dict[str, str]:
        """Return the shape and dtype of every tensor of a preset, without allocating it."""
        with torch.device("meta"):
            model = self.build(name)
        return {
            key: f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {str(tensor.dtype).split('.')[1]}"
            for key, tensor in model.state_dict().items()
        }

    def differences(self, name: str) -> list[tuple[str, str]]:
        """Return the entries that stand in one of the two only."""
        golden = json.loads(self.path(name).read_text(encoding="utf-8"))
        return sorted(golden.items() ^ self.found(name).items())

    def write(self, name: str) -> None:
        """Write the list of a preset as it is now."""
        self.path(name).write_text(json.dumps(self.found(name), indent=1) + "\n", encoding="utf-8")
