"""Stores that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from medprism.data.store import SliceStore
from tests.evaluation.phantoms import make_store, write_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    """A training set with all splits, and an external one of two patients."""
    root: Path = tmp_path_factory.mktemp("scenes")
    train = write_scenes(
        root / "scenes",
        cases={"train": ["a", "b", "c"], "val": ["d", "e"], "test": ["f", "g", "h"]},
        without=("g", "polyp"),
    )
    external = write_scenes(
        root / "outside",
        cases={"test": ["p", "q", "r", "s"]},
        role="external",
        images_per_patient=2,
    )
    return make_store(root, train, external)
