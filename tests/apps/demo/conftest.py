"""The demo, run once with an untrained nano that has the class names of the shipped model."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.untrained import save_untrained


@dataclass(frozen=True)
class Shown:
    """What a run of the demo left."""

    status: int
    out: str
    err: str
    folder: Path


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a nano with all class names and random weights."""
    path = tmp_path_factory.mktemp("untrained") / "nano.safetensors"
    save_untrained(path)
    return path


@pytest.fixture(scope="session")
def shown(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Run the program as `make demo` does."""
    folder = tmp_path_factory.mktemp("shown") / "demo"
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "medprism.apps.demo",
            "--out",
            str(folder),
            "--model",
            str(untrained),
        ],
        capture_output=True,
        text=True,
    )
    return Shown(ended.returncode, ended.stdout, ended.stderr, folder)
