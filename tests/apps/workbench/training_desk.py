"""A project of phantoms whose model knows two of the three structures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.labels import encode_runs
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.training.finetune import FineTuneConfig
from tests.apps.workbench.conftest import Desk
from tests.phantoms import NAMES, draw_phantom
from tests.training.taught_nano import KNOWN, NEW, PATH

COUNT = 6


@pytest.fixture(scope="session")
def knowing() -> LoadedModel:
    """Return a nano that knows two of the three structures."""
    return load(PATH)


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    root = tmp_path / "phantoms"
    root.mkdir()
    for number in range(COUNT):
        assert cv2.imwrite(str(root / f"{number}.png"), draw_phantom(8000 + number).image)
    return root


EASY = FineTuneConfig(requests=2, bfloat16=False)


def accept_phantoms(desk: Desk, images: int = COUNT) -> None:
    """Accept the new structure on images, and an old one beside it."""
    for image in range(1, images + 1):
        session = desk.open(image)
        masks = draw_phantom(8000 + image - 1).masks
        for name in (NEW, KNOWN[0]):
            mask = masks[NAMES.index(name)]
            runs = {"shape": list(mask.shape), "runs": encode_runs(np.asarray(mask))}
            desk.post(f"{session}/prompts", {"kind": "mask", "label": name, "mask": runs})
        desk.post(f"{session}/accept", {"labels": [NEW, KNOWN[0]]})
        desk.ask("DELETE", session, 204)
