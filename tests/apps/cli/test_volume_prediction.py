"""Reference encode and predict with Iris, from files to files, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medprism.apps.cli.main import app
from medprism.core.errors import ConfigError, LabelError, WriteError
from medprism.io.reader import read_image, read_mask
from tests.data.volume_phantoms import write_phantom_set
from tests.inference.iris.nano import NAMES, write_nano


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iris")
    write_phantom_set(folder / "set", 3)
    write_nano(folder / "nano.safetensors")
    return folder


def call(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_task_file_segments_a_volume_on_its_own_grid(place: Path) -> None:
    model, task = place / "nano.safetensors", place / "both.task"
    said = call("reference", "encode", place / "set", "-o", task, "--model", model)
    assert "bright hook, dark bar by 3 references at 1.25 mm" in said
    scan = place / "set" / "volumes" / "case1_img.nii.gz"
    out = place / "mask.nii.gz"
    words = ("predict", scan, "--model", model, "--task", task, "-o", out, "--json")
    document = json.loads(call(*words, "--strategy", "objects", "--keep", 2))
    mask = read_mask(out, like=read_image(scan))
    for number, name in enumerate(NAMES, start=1):
        assert document["voxels"][name] == int((mask.array == number).sum())
    call(*words, "--classes", "dark bar")
    assert set(np.unique(read_mask(out).array)) <= {0, 1}


def test_classes_and_references_do_without_a_task_file(place: Path) -> None:
    model, out = place / "nano.safetensors", place / "direct.nii.gz"
    scan = place / "set" / "volumes" / "case0_img.nii.gz"
    said = call("predict", scan, "--model", model, "--classes", "bright hook", "-o", out)
    assert "bright hook:" in said
    assert out.is_file()
    said = call(
        "predict", scan, "--model", model, "--references", place / "set", "-o", out,
        "--strategy", "one-shot",
    )  # fmt: skip
    assert "dark bar:" in said


def test_what_does_not_fit_is_said_in_one_sentence(place: Path) -> None:
    model, out = place / "nano.safetensors", place / "never.nii.gz"
    scan = place / "set" / "volumes" / "case0_img.nii.gz"
    base = ("predict", scan, "--model", model, "-o", out)
    for words, error, text in (
        ((), ConfigError, "say what to segment"),
        (("--classes", "bright hook", "--box", "1,1,4,4"), ConfigError, "--box is nothing for"),
        (("--references", place / "set", "--strategy", "best"), ConfigError, "'best' is unknown"),
        (("--references", place / "set", "--classes", "liver"), LabelError, "liver"),
    ):
        with pytest.raises(error, match=text):
            call(*base, *words)
    with pytest.raises(ConfigError, match="give it with --model"):
        call("predict", scan, "--task", "x.task", "-o", out, "--model", "kprism-compact")
    with pytest.raises(WriteError, match="ends in .task"):
        call("reference", "encode", place / "set", "-o", out, "--model", model)
    assert not out.exists()
