from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.apps.conftest import Command
from tests.evaluation.phantoms import make_store, write_scenes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a set that is large enough for a headline, beside its store."""
    folder = tmp_path_factory.mktemp("evaluate")
    cases = {"train": ["a", "b"], "val": ["c"], "test": [f"t{n:02}" for n in range(20)]}
    make_store(folder, write_scenes(folder / "sets" / "scenes", cases=cases))
    return folder


def test_json_markdown_and_a_curve_are_written(
    medprism: Command, nano: Path, root: Path, tmp_path: Path
) -> None:
    arguments = (
        *("evaluate", "--store", root / "store", "--model", nano, "--out", tmp_path / "e"),
        *("--roles", "train", "--limit", "1", "--protocols", "semantic,interactive"),
    )
    ended = medprism(*arguments, "--baselines", "GrabCut")
    assert ended.status == 0, ended.err
    assert "train (classes), nano: " in ended.out
    assert "train (all), GrabCut: clicks@1" in ended.out
    names = {path.name for path in (tmp_path / "e").iterdir()}
    assert {"report.json", "report.md", "convergence.png"} <= names
    assert json.loads((tmp_path / "e" / "report.json").read_text())["sets"]
    for_programs = medprism(*arguments, "--json")
    assert {one["method"] for one in for_programs.json()["sets"]} == {"nano", "GrabCut"}


def test_images_can_be_taken_at_their_own_size(
    medprism: Command, nano: Path, root: Path, tmp_path: Path
) -> None:
    ended = medprism(
        *("evaluate", "--store", root / "store", "--model", nano, "--out", tmp_path / "e"),
        *("--protocols", "semantic", "--limit", "1", "--no-zoom", "--threads", "1"),
        *("--datasets", "scenes", "--data", root / "sets", "--json"),
    )
    assert ended.status == 0, ended.err
    plan = ended.json()["plans"]["nano"]
    assert plan["grid"] == "each image's own grid"
    assert plan["auto_zoom"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--roles", "exam"), "--roles has no 'exam'"),
        (("--split", "exam"), "split 'exam' must be one of"),
        (("--limit", "0"), "limit of 0"),
        (("--datasets", "none"), "no dataset 'none' in the store"),
        (("--protocols", "guess"), "--protocols has no 'guess'"),
        (
            ("--baselines", "guess"),
            "--baselines has no 'guess'; known: GrabCut, random walker, grow from seeds, UNet",
        ),
        (("--model", "none.safetensors"), "neither a file nor a preset"),
        (("--roles", "unseen"), "has no test slice of the roles unseen"),
    ],
)
def test_mistakes_are_one_sentence(
    medprism: Command,
    nano: Path,
    root: Path,
    tmp_path: Path,
    options: tuple[str, str],
    said: str,
) -> None:
    model = () if options[0] == "--model" else ("--model", nano)
    ended = medprism(
        *("evaluate", "--store", root / "store", "--out", tmp_path / "e", "--limit", "1"),
        *("--protocols", "semantic", *model, *options),
    )
    assert ended.status == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
