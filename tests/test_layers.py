"""The floors of the house: imports point one way."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 500
REFUSED = {"utils", "util", "helpers", "helper", "common", "misc", "base"}


def _lint(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(
                sys.executable,
                "-c",
                "from importlinter.cli import lint_imports_command as run; run()",
            ),
            *("--config", str(config), "--no-cache"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_every_contract_is_kept() -> None:
    ended = _lint(ROOT / "pyproject.toml")
    assert ended.returncode == 0, ended.stdout
    assert "4 kept, 0 broken" in ended.stdout


def test_the_check_sees_a_floor_that_looks_up(tmp_path: Path) -> None:
    """Turned upside down, the same contract must break: the test above can fail."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contract["contracts"][0]["layers"]
    listed = "\n".join(f'  "{layer}",' for layer in reversed(layers))
    config = tmp_path / "pyproject.toml"
    config.write_text(
        '[tool.importlinter]\nroot_package = "medprism"\n'
        '[[tool.importlinter.contracts]]\nname = "floors"\ntype = "layers"\n'
        f"layers = [\n{listed}\n]\n"
    )
    ended = _lint(config)
    assert ended.returncode == 1
    assert "floors BROKEN" in ended.stdout


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_files_are_small_and_named_for_a_concept(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert path.stem not in REFUSED, path
        count = len(path.read_text(encoding="utf-8").splitlines())
        assert count <= MAX_LINES, f"{path}: {count} lines"


def test_the_verbs_of_the_command_line_are_thin() -> None:
    for verb in ("predict", "train", "evaluate", "data", "models", "main"):
        path = ROOT / "src" / "medprism" / "apps" / "cli" / f"{verb}.py"
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 80, path
