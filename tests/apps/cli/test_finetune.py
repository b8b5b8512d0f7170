from __future__ import annotations

import signal
from pathlib import Path

import pytest

from medprism.apps.cli.progress_bar import Bar
from medprism.engines.loading import load
from medprism.models.checkpoint import load_checkpoint
from tests.apps.conftest import Command
from tests.phantoms import NAMES
from tests.training.phantom_folder import write_folder
from tests.training.taught_nano import KNOWN, NEW, PATH


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "toys", 8)


def test_a_folder_becomes_a_class_and_the_figures_are_printed(
    medprism: Command, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new.safetensors"
    said = ("finetune", folder, "--from", PATH, "--out", out, "--steps", "2", "--threads", "1")
    ended = medprism(*said)
    assert ended.status == 0, ended.err
    assert f"learned {NEW} in 2 steps" in ended.out and "from 6 masks; 2 masks of 2" in ended.out
    rows = [line.split() for line in ended.out.splitlines()]
    assert next(r for r in rows if "class" in r)[:5] == [NEW + ",", "by", "class", "2", "-"]
    assert all(any(row[:2] == [name, "(old)"] for row in rows) for name in KNOWN)
    assert "agreement with the old checkpoint" in ended.out
    assert load(out).concepts.names == (*KNOWN, NEW)
    assert not (tmp_path / "new.safetensors.work").exists()
    # Nothing is overwritten, and the new checkpoint can be begun with in turn.
    again = medprism(*said)
    assert again.status == 2 and "not overwritten" in again.err
    named = medprism(
        *("finetune", folder, "--from", out, "--out", tmp_path / "third.safetensors"),
        *("--steps", "1", "--classes", "3=circle", "--seed", "2", "--json"),
    )
    assert named.status == 0, named.err
    document = named.json()
    assert document["classes"] == ["circle"] and document["steps"] == 1
    third = load_checkpoint(tmp_path / "third.safetensors")
    assert document["weights_hash"] == third.weights_hash
    assert [one["classes"] for one in third.info.training["fine_tunings"]] == [[NEW], ["circle"]]


def test_ctrl_c_stops_and_the_same_command_goes_on(
    medprism: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Bar, done: int, total: int, message: str = "") -> None:
        if (done, message) == (1, "learning"):
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "new.safetensors"
    said = ("finetune", folder, "--from", PATH, "-o", out, "--steps", "4", "--threads", "1")
    with monkeypatch.context() as patched:
        patched.setattr(Bar, "report", interrupt)
        ended = medprism(*said)
    assert ended.status == 130
    assert "stopped after step 2 of 4" in ended.err and "the same command goes on" in ended.err
    assert not out.exists()
    other = medprism(*said[:-4], "--steps", "5")
    assert other.status == 2 and "other masks, settings" in other.err
    assert medprism(*said).status == 0
    assert load(out).concepts.names == (*KNOWN, NEW)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", "1", "--minutes", "2"), "either in steps or in minutes"),
        (("--steps", "0"), "steps must be at least 1"),
        (("--out", "there"), "must end with .safetensors"),
        (("--classes", "liver"), "no mask is of class 'liver'"),
        (("--classes", "9=liver"), "no mask has label 9"),
        (("--classes", "a=liver"), "is not NUMBER=NAME"),
        (("--store", "nowhere"), "holds no slice store"),
        (("--from", "nothing"), "neither a file nor a preset"),
        (("--threads", "0"), "--threads must be at least 1"),
    ],
)
def test_mistakes_are_one_sentence(
    medprism: Command,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = ("--from", PATH) if "--from" not in options else ()
    ended = medprism("finetune", folder, *first, *options)
    assert ended.status == 2 and said in ended.err
    assert not list(tmp_path.glob("*.safetensors"))


def test_too_few_masks_are_refused_with_the_number_and_the_rule(
    medprism: Command, tmp_path: Path
) -> None:
    few = write_folder(tmp_path / "few", 2, NAMES)
    ended = medprism("finetune", few, "--from", PATH, "-o", tmp_path / "a.safetensors")
    assert ended.status == 2
    assert f"'{NEW}' has 2 masks; training a class needs at least 5, so add 3 more" in ended.err
