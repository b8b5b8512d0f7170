"""What the tests of the programs share: a tiny checkpoint, and the command line in this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from medprism.apps.cli.main import run
from tests.inference.phantom import scene
from tests.models.checkpoints import save_nano

LOGS = ("medprism", "medprism.io", "pydicom", "highdicom", "dicomweb_client")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status and what it said."""

    status: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401
        """Return what it printed for programs."""
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def medprism(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""

    def command(*arguments: str | Path) -> Ended:
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return command


@pytest.fixture(autouse=True)
def same_process() -> Iterator[None]:
    """Put back what a program sets for its whole process: threads and the levels of the logs."""
    before = torch.get_num_threads()
    levels = {name: logging.getLogger(name).level for name in LOGS}
    yield
    torch.set_num_threads(before)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained nano that knows hook, flag and spoon."""
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_nano(path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Return a PNG of 88 x 124 pixels."""
    path = tmp_path / "picture.png"
    assert cv2.imwrite(str(path), scene()[0])
    return path
