"""A folder of phantoms with masks, as people have them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from tests.phantoms import NAMES, draw_phantom

FIRST = 7000


def write_folder(
    folder: Path, count: int, names: Sequence[str] = NAMES, *, patients: Sequence[str] = ()
) -> Path:
    """Write phantoms with masks of some structures; phantom n belongs to patient n, if named."""
    for side in ("images", "masks"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        phantom = draw_phantom(FIRST + number)
        labels = np.zeros(phantom.image.shape[:2], np.uint8)
        for index, mask in enumerate(phantom.masks):
            if NAMES[index] in names:
                labels[mask] = index + 1
        assert cv2.imwrite(str(folder / "images" / f"{number:02d}.png"), phantom.image)
        assert cv2.imwrite(str(folder / "masks" / f"{number:02d}.png"), labels)
    described = {
        "slug": "toys",
        "classes": {str(i + 1): name for i, name in enumerate(NAMES) if name in names},
        "patients": {f"{n:02d}": patient for n, patient in enumerate(patients)},
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def open_store(folder: Path, out: Path) -> SliceStore:
    """Prepare a store of a folder and open it."""
    prepare([folder], out, PrepareConfig(workers=1))
    return SliceStore.open(out)
