"""A store of phantoms that have the names of a lesion and of an organ, on the same pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medprism.data.preparation import PrepareConfig, prepare

from .phantoms import EXTERNAL, GREY, write_named


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("lesions")
    folders = [
        write_named(root / GREY, patients=4, split={"test": 2, "val": 1, "train": 1}),
        write_named(root / EXTERNAL, patients=2, role="external", split={"test": 2}),
    ]
    prepare(folders, root / "store", PrepareConfig(workers=1))
    return root / "store"
