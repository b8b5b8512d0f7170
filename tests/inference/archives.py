"""Archives of phantoms and what is asked of them, for tests of clusters."""

from __future__ import annotations

from pathlib import Path

import cv2

from medprism.inference.archive import MaskFolder
from medprism.inference.cluster import ArchiveOrder
from medprism.inference.knowledge import Knowledge
from tests.inference.phantom import scene
from tests.models.checkpoints import save_nano


def write_archive(folder: Path, count: int) -> Path:
    """Write pictures 00.png, 01.png, ... and return their folder."""
    folder.mkdir(parents=True)
    for number in range(count):
        assert cv2.imwrite(str(folder / f"{number:02d}.png"), scene(number)[0])
    return folder


def order_for(out: Path, model: Path, *classes: str) -> ArchiveOrder:
    """Return an order for an untrained nano; `model` is written if it is not there."""
    if not model.exists():
        save_nano(model)
    knowledge = Knowledge(classes=classes or ("hook",))
    return ArchiveOrder(model=str(model), knowledge=knowledge, masks=MaskFolder(path=out))
