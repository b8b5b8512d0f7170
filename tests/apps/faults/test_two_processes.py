"""Two programs at one project: the second is told so, and gets in once the first is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.apps.cli.main import run
from medprism.core.errors import ProjectError
from medprism.project.project import Project
from tests.apps.faults.worker import ROOT

# Opens a project, says so, and holds it until it is killed.
_HOLD = """
import sys, time
from pathlib import Path
from medprism.project.project import Project
project = Project(Path(sys.argv[1]))
project.labels.ensure("liver")
print("open", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 31), np.uint8))
    return tmp_path


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that has the project open."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_program_is_told_and_waits_for_the_first_to_end(
    folder: Path, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProjectError, match="open in another program"):
        Project(folder)
    with pytest.raises(SystemExit) as ended:
        run(["annotate", str(folder), "--no-browser", "--port", "0"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "open in another program" in said and said.count("\n") == 1
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    project = Project(folder)
    # What the killed one had made is there.
    assert [one.name for one in project.labels.all()] == ["liver"]
    project.close()
