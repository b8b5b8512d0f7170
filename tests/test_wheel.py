"""The wheel alone is a whole medprism: weights, page and commands, without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from medprism.engines.loading import shipped_path

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def _run(*command: str | Path, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without asking the network for anything."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    _run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    (found,) = folder.glob("medprism-*.whl")
    return found


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into an environment of its own; only what it depends on is borrowed from here."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps")
    _run(*pip, "--no-index", wheel, cwd=home)
    (packages,) = (home / "lib").glob("python3*/site-packages")
    # Other installations' own .pth files, such as that of this checkout, are not followed.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = _run(python, "-c", "import medprism; print(medprism.__file__)", cwd=home).strip()
    assert Path(where).is_relative_to(home)
    return home / "bin"


def test_the_wheel_has_what_is_no_code(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "medprism/apps/workbench/static/index.html" in names
    if shipped_path("kprism-compact").is_file():
        assert "medprism/weights/kprism-compact.safetensors" in names
    assert not [name for name in names if name.startswith(("tests/", "locks/", "benchmarks/"))]


def test_it_works_in_a_clean_environment(bin_folder: Path, tmp_path: Path) -> None:
    assert _run(bin_folder / "medprism", "--version", cwd=tmp_path).startswith("medprism 0.")
    found = json.loads(_run(bin_folder / "medprism", "doctor", "--json", cwd=tmp_path))
    assert found["healthy"], found
    by_subject = {one["subject"]: one for one in found["findings"]}
    assert by_subject["self-test"]["state"] in ("ok", "note")
    # All extras are in the metadata of the wheel.
    assert {"extra pacs", "extra workbench", "extra train"} <= set(by_subject)
