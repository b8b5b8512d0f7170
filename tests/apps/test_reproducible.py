"""The same recipe twice gives the same weights, in another process and from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medprism.models.checkpoint import load_checkpoint
from tests.apps.conftest import Command
from tests.evaluation.phantoms import write_scenes

STEPS = 3


def _data(folder: Path) -> Path:
    write_scenes(folder / "scenes", cases={"train": list("abcd"), "val": ["e"], "test": ["f"]})
    return folder


def _trained(folder: Path) -> str:
    return load_checkpoint(folder / "last.safetensors").weights_hash


def _again(recipe: str, data: Path, out: Path, *options: str) -> str:
    """Train in a process of its own, which hashes text and starts threads otherwise."""
    command = (sys.executable, "-m", "medprism.apps.cli", "train", recipe, "--out", str(out))
    ended = subprocess.run(
        (*command, "--data", str(data), "--steps", str(STEPS), "--threads", "1", *options),
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return _trained(out)


def test_a_recipe_gives_the_same_weights_again(medprism: Command, tmp_path: Path) -> None:
    data = _data(tmp_path / "data")
    ended = medprism(
        *("train", "kprism-nano", "--out", tmp_path / "one", "--data", data),
        *("--steps", str(STEPS), "--threads", "1"),
    )
    assert ended.status == 0, ended.err
    other = _data(tmp_path / "elsewhere" / "copied")
    assert _again("kprism-nano", other, tmp_path / "two") == _trained(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["kprism-nano", "tpseg-nano", "iris-nano-2d"])
def test_every_architecture_does_and_another_seed_does_not(recipe: str, tmp_path: Path) -> None:
    data = _data(tmp_path / "data")
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert _again(recipe, data, first) == _again(recipe, data, second)
    assert _again(recipe, data, third, "--seed", "11") != _trained(first)
