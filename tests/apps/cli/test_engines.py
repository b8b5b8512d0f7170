from __future__ import annotations

from pathlib import Path

import pytest

from medprism.engines.verdict import LEAST_IMAGES
from tests.apps.conftest import Command
from tests.evaluation.phantoms import make_store, write_scenes
from tests.models.checkpoints import save_nano


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("engines")
    save_nano(root / "nano.safetensors")
    make_store(root, write_scenes(root / "scenes", cases={"test": ["a", "b"], "train": ["c"]}))
    return root


def test_every_engine_is_listed_with_what_it_lacks(medprism: Command, material: Path) -> None:
    nano = material / "nano.safetensors"
    shown = medprism("engines", "list", "--model", nano, "--json").json()
    assert shown["engine"] == "torch"
    assert "medprism engines check" in shown["reason"]
    assert shown["missing"]["torch"] is None
    assert "CUDA" in (shown["missing"]["cuda"] or "CUDA")
    text = medprism("engines", "list", "--model", nano, "--threads", "1").out
    assert all(name in text for name in shown["missing"])
    assert f"taken for {nano} with 1 threads: torch" in text


def test_a_check_of_few_images_is_kept_and_does_not_decide(
    medprism: Command, material: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDPRISM_CACHE", str(tmp_path))
    asked = ("--model", material / "nano.safetensors", "--threads", "1")
    check = ("engines", "check", "--store", material / "store", "--engines", "torch,torch-bf16")
    ended = medprism(*check, *asked)
    assert ended.status == 0
    assert "2 images of 1 sets, 5 clicks each, 1 threads" in ended.out
    assert "| torch-bf16 |" in ended.out
    assert f"{LEAST_IMAGES} are needed" in ended.out
    assert len(list((tmp_path / "engines").iterdir())) == 1
    listed = medprism("engines", "list", *asked).out
    assert "the check saw 2 images" in listed


def test_an_unknown_engine_is_refused(medprism: Command, material: Path) -> None:
    ended = medprism("engines", "check", "--store", material / "store", "--engines", "abacus")
    assert ended.status == 2
    assert "abacus" in ended.err
