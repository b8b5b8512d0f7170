from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from medprism.apps.cli import models as models_verb
from tests.apps.conftest import Command
from tests.inference.phantom import scene
from tests.io.pacs_server import encoded
from tests.io.phantoms import ct_slice

VERBS = ("predict", "train", "evaluate", "data", "models")

# Everything that is slow to load, or that drags in what is.
SLOW = ("torch", "cv2", "scipy", "nibabel", "SimpleITK", "pydicom", "matplotlib", "numpy")

ASK_FOR_HELP = f"""
import sys, time
started = time.perf_counter()
from medprism.apps.cli.main import run
try:
    run(["--help"])
except SystemExit as ended:
    print("status", ended.code, file=sys.stderr)
print("loaded", [name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
print("seconds", time.perf_counter() - started, file=sys.stderr)
"""


def test_help_loads_nothing_slow_and_says_how_long_it_took() -> None:
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-c", ASK_FOR_HELP],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        )
        best = min(best, time.perf_counter() - started)
        assert "status 0" in ended.stderr
        assert "loaded []" in ended.stderr
        assert all(verb in ended.stdout for verb in VERBS)
    print(f"`medprism --help` took {best:.2f} s, the interpreter's start included")


def test_importing_the_package_loads_nothing_slow() -> None:
    code = f"import sys, medprism; print([n for n in {SLOW!r} if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package(medprism: Command) -> None:
    ended = medprism("--version")
    assert (ended.status, ended.out) == (0, f"medprism {version('medprism')}\n")


@pytest.mark.parametrize("verb", [*((name,) for name in VERBS), ("data", "prepare")])
def test_every_verb_explains_itself(medprism: Command, verb: tuple[str, ...]) -> None:
    ended = medprism(*verb, "--help")
    assert ended.status == 0
    assert f"medprism {' '.join(verb)}" in ended.out


def test_without_a_verb_the_help_is_shown(medprism: Command) -> None:
    ended = medprism()
    assert "predict" in ended.out + ended.err


@pytest.mark.parametrize(
    "arguments", [("segment",), ("predict",), ("predict", "--colour", "red"), ("--loud",)]
)
def test_wrong_usage_ends_with_status_2(medprism: Command, arguments: tuple[str, ...]) -> None:
    ended = medprism(*arguments)
    assert ended.status == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err


def test_our_own_mistakes_end_with_status_1_and_a_traceback_only_on_request(
    medprism: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("wires crossed")

    monkeypatch.setattr("medprism.engines.inventory.describe_presets", fail)
    assert models_verb
    quiet = medprism("models")
    assert quiet.status == 1
    assert quiet.out == ""
    assert quiet.err.startswith("medprism: this is a bug in medprism: RuntimeError: wires crossed")
    loud = medprism("--debug", "models")
    assert loud.status == 1
    assert "Traceback (most recent call last)" in loud.err


def test_the_module_is_the_program(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "medprism.apps.cli",
            "predict",
            str(tmp_path / "none.png"),
            "-o",
            "x",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("medprism: nothing says what to segment")


def test_libraries_that_quote_headers_say_nothing(
    medprism: Command, nano: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = ct_slice(scene()[0].astype(np.uint16), (0.0, 0.0, 0.0))
    content = encoded(one)
    # What stands where the character set should be is quoted by pydicom.
    assert content.count(b"ISO_IR 100") == 1
    (tmp_path / "a.dcm").write_bytes(content.replace(b"ISO_IR 100", b"Secret_Nam"))
    out = tmp_path / "m.nii.gz"
    caplog.clear()
    ended = medprism("predict", tmp_path / "a.dcm", "-o", out, "--model", nano, "--classes", "hook")
    assert ended.status == 0, ended.err
    assert "Secret" not in ended.out + ended.err + caplog.text
