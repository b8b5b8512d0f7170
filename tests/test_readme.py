"""Every line of code that the README and the results page show is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from medprism.apps.cli.main import run
from medprism.engines import loading
from medprism.engines.loading import shipped_path
from medprism.training import run as run_module
from medprism.training.recipes import RECIPES
from medprism.training.timing import Timing
from tests.evaluation.phantoms import write_scenes
from tests.untrained import save_untrained

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/results.md", "CONTRIBUTING.md")

SHAPE = (256, 200)


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _shell_lines(program: str) -> list[str]:
    lines = [line for page in PAGES for block in _blocks(page, "sh") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith(f"{program} ")))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the files that the README talks about into the current folder."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((rows - 120) / 40) ** 2 + ((cols - 88) / 25) ** 2 < 1
    picture = (60 + rows / 4 + 90 * inside).astype(np.uint8)
    mask = inside.astype(np.uint8)
    for name in ("scan", "a", "b"):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        assert cv2.imwrite(str(tmp_path / f"{name}_mask.png"), mask)
    nib.save(nib.Nifti1Image(picture.T[..., None], np.eye(4)), tmp_path / "scan.nii.gz")
    for side, array in (("images", picture), ("masks", mask)):
        (tmp_path / "examples" / side).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "examples" / side / "one.png"), array)
    (tmp_path / "archive").mkdir()
    for name in ("one", "two"):
        assert cv2.imwrite(str(tmp_path / "archive" / f"{name}.png"), picture)
    cases = {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    write_scenes(tmp_path / "datasets" / "scenes", cases=cases)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a nano stand in where the checkout has no shipped checkpoint."""
    if not shipped_path("kprism-compact").is_file():
        path = tmp_path_factory.mktemp("stand-in") / "kprism-compact.safetensors"
        save_untrained(path)
        monkeypatch.setattr(loading, "shipped_path", lambda _: path)


@pytest.mark.parametrize("number", range(len(_blocks("README.md", "python"))))
def test_python_of_the_readme_runs(desk: Path, weights: None, number: int) -> None:
    code = _blocks("README.md", "python")[number]
    exec(compile(code, f"README block {number}", "exec"), {})
    assert list(desk.glob("mask.png")) or list(desk.glob("out.nii.gz"))


def test_the_first_screen_shows_a_short_example() -> None:
    code = [line for line in _blocks("README.md", "python")[0].splitlines() if line.strip()]
    assert len(code) <= 6


def test_commands_run_one_after_the_other(
    desk: Path,
    weights: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # An hour of training the compact model is played by two steps of a nano.
    monkeypatch.setitem(RECIPES, "kprism-compact", RECIPES["kprism-nano"])
    monkeypatch.setattr(run_module, "time_steps", lambda *_: Timing((1.0,), 0.0))
    monkeypatch.setattr(run_module, "steps_within", lambda *_: 2)
    lines = _shell_lines("medprism")
    assert {line.split()[1] for line in lines} == {"predict", "data", "train", "evaluate", "models"}
    for line in lines:
        with pytest.raises(SystemExit) as ended:
            run(shlex.split(line, comments=True)[1:])
        assert not ended.value.code, f"{line}\n{capsys.readouterr().err}"
    assert (desk / "masks" / "two.png").exists()
    assert (desk / "sizes.csv").exists()
    assert (desk / "results" / "report.md").exists()


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Within `make test` the outer make would pass its own flags on.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=plain, capture_output=True, text=True)


def test_every_verb_of_make_that_is_shown_is_there() -> None:
    for line in _shell_lines("make"):
        ended = _make(*shlex.split(line, comments=True)[1:], "--dry-run")
        assert ended.returncode == 0, ended.stderr


def test_a_bare_make_lists_at_most_ten_verbs_each_with_a_comment() -> None:
    listed = _make().stdout.splitlines()
    verbs = [line.split()[1] for line in listed]
    assert 1 < len(verbs) <= 10
    assert all(len(line.split()) > 3 for line in listed)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == {*verbs, "help"}


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
