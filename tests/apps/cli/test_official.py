"""`medprism bench official` from the command line to the report."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.apps.conftest import Command, Ended
from tests.evaluation.bench.official.packages import (
    INTERPRETER,
    nninteractive_folder,
    nnunet_folder,
    sam2_file,
)
from tests.evaluation.phantoms import make_store, write_scenes

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    tests = [f"t{n:02}" for n in range(20)]
    cases = {"train": ["a", "b"], "val": ["c"], "test": tests}
    make_store(folder, write_scenes(folder / "sets" / "scenes", cases=cases))
    return folder / "store"


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children of this interpreter find the small packages."""
    monkeypatch.setenv("PYTHONPATH", str(INTERPRETER))


def ask(
    medprism: Command, package: str, weights: Path, store: Path, out: Path, *more: str
) -> Ended:
    config = ("--config", CONFIG) if package == "sam2" else ()
    return medprism(
        *("bench", "official", package, "--weights", weights, "--python", sys.executable),
        *("--store", store, "--out", out, "--limit", "2", "--clicks", "5"),
        *("--device", "cpu", "--threads", "1", *config, *more),
    )


def document(out: Path) -> Any:  # noqa: ANN401
    return json.loads((out / "bench.json").read_text())


def test_three_packages_stand_beside_ours_in_tables_of_their_own(
    medprism: Command, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ours = medprism(
        *("bench", "run", "--store", store, "--out", out, "--systems", "GrabCut"),
        *("--limit", "2", "--clicks", "5", "--steps", "1"),
    )
    assert ours.status == 0, ours.err
    for package, weights in (
        ("nnunetv2", nnunet_folder(tmp_path / "nnunet")),
        ("nninteractive", nninteractive_folder(tmp_path / "nni")),
        ("sam2", sam2_file(tmp_path / "sam2")),
    ):
        ended = ask(medprism, package, weights, store, out)
        assert ended.status == 0, ended.err
        assert "(official)" in ended.out
    tables = {(one["tier"], one["measure"]): one for one in document(out)["tables"]}
    systems = {key: {line["system"] for line in table["lines"]} for key, table in tables.items()}
    clicked = {"nnInteractive (official)", "SAM 2 (official)"}
    assert systems["official package", "clicks@5"] == clicked
    assert systems["official package", "semantic"] == {"nnU-Net (official)"}
    assert systems["same budget", "clicks@5"] == {"GrabCut"}
    page = (out / "bench.md").read_text()
    assert page.index("## clicks@1 (train)\n") < page.index("## Official packages")
    assert page.index("## Official packages") < page.index("## Quoted")
    assert "CC BY-NC-SA 4.0" in page
    # Their curves have a picture of their own.
    assert "GrabCut" in (out / "clicks.svg").read_text()
    official = (out / "clicks-official.svg").read_text()
    assert "SAM 2" in official and "GrabCut" not in official
    assert (out / "bench.html").read_text().count("<svg") == 2


def test_a_missing_package_is_a_cell_that_says_so_and_the_rest_goes_on(
    medprism: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sam2_file(tmp_path / "w")
    with monkeypatch.context() as patch:
        patch.delenv("PYTHONPATH")
        alone = ask(medprism, "sam2", weights, store, tmp_path / "out")
    assert alone.status == 2
    assert "scenes: package missing: sam2: ModuleNotFoundError" in alone.err
    assert "pip install sam2" in alone.err and alone.out == ""
    assert not (tmp_path / "out" / "bench.json").exists()
    nnunet = nnunet_folder(tmp_path / "nnunet")
    ended = ask(medprism, "nnunetv2", nnunet, store, tmp_path / "out")
    assert ended.status == 0, ended.err
    page = (tmp_path / "out" / "bench.md").read_text()
    assert "| SAM 2 (official) | SAM 2 (official package) | missing | package missing |" in page
    assert "No module named 'sam2'" in page
    again = ask(medprism, "sam2", weights, store, tmp_path / "out")
    assert again.status == 0, again.err
    assert "package missing" not in (tmp_path / "out" / "bench.md").read_text()
    assert document(tmp_path / "out")["official_failures"] == []


@pytest.mark.parametrize(
    ("package", "more", "said"),
    [
        ("medsam", (), "no package 'medsam'"),
        ("sam2", ("--folds", "0"), "sam2 has no folds"),
        ("nnunetv2", ("--config", "x"), "nnunetv2 has no --config"),
        ("nnunetv2", ("--folds", ","), "--folds ',' names nothing"),
        ("nnunetv2", ("--folds", "4"), "has no fold_4/checkpoint_final.pth"),
        ("nnunetv2", ("--checkpoint", "best.pth"), "has no fold_N/best.pth"),
        ("nnunetv2", ("--roles", "none"), "--roles has no 'none'"),
        ("nnunetv2", ("--python", "no-such-python"), "is no program that can be run"),
        ("nnunetv2", ("--seconds", "0"), "seconds 0 must be above 0"),
        ("nnunetv2", ("--name", "a@b"), "name 'a@b' may hold"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(
    medprism: Command, store: Path, tmp_path: Path, package: str, more: tuple[str, ...], said: str
) -> None:
    weights = sam2_file(tmp_path) if package == "sam2" else nnunet_folder(tmp_path / "w")
    ended = ask(medprism, package, weights, store, tmp_path / "out", *more)
    assert ended.status == 2
    assert said in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "out" / "cells").exists()


def test_ctrl_c_ends_it_after_the_slice_at_hand(
    medprism: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = nnunet_folder(tmp_path / "w")

    def interrupt(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("medprism.apps.cli.progress_bar.Bar.report", interrupt)
    ended = ask(medprism, "nnunetv2", weights, store, tmp_path / "out")
    assert ended.status == 130, ended.err
    assert "the same command goes on" in ended.err
    monkeypatch.undo()
    monkeypatch.setenv("PYTHONPATH", str(INTERPRETER))
    assert ask(medprism, "nnunetv2", weights, store, tmp_path / "out").status == 0
