from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.iris_volumes.phantoms import trained
from tests.data.volume_phantoms import write_phantom_set


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of four volumes: two to train on, one of val, one of test."""
    return write_phantom_set(tmp_path_factory.mktemp("data") / "phantoms", 4)


@pytest.fixture(scope="session")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learned nothing yet."""
    return trained(data, tmp_path_factory.mktemp("run"), seed=1)
