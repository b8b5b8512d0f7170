"""`medprism train --trunk`: TP-Seg on a trunk that somebody else has trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medprism.data.preparation import PrepareConfig, prepare
from medprism.io.reader import read_image, read_mask
from medprism.models.checkpoint import load_checkpoint
from tests.apps.conftest import Command
from tests.evaluation.phantoms import write_scenes
from tests.models.tpseg.official import NANO, PREFIX, draw_tensors, write_official


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one set of three structures."""
    root = tmp_path_factory.mktemp("data")
    write_scenes(root / "scenes", cases={"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]})
    return root


@pytest.fixture(scope="module")
def store(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the set, prepared."""
    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare([data / "scenes"], folder, PrepareConfig(workers=1))
    return folder


def test_a_run_on_a_given_trunk_and_a_mask_without_its_file(
    medprism: Command, data: Path, picture: Path, tmp_path: Path
) -> None:
    trunk = write_official(tmp_path / "sam2_nano.safetensors", draw_tensors(NANO))
    run, mask = tmp_path / "run", tmp_path / "mask.nii.gz"
    ended = medprism(
        *("train", "tpseg-nano", "--data", data, "--out", run, "--steps", "3"),
        *("--tasks", "liver", "--trunk", trunk),
    )
    assert ended.status == 0, ended.err
    trunk.unlink()
    again = medprism("train", "tpseg-nano", "--out", run, "--resume", "--trunk", trunk)
    assert again.status == 2
    assert "--trunk was fixed when the run" in again.err
    probabilities = []
    for name in ("last", "best"):
        checkpoint = run / f"{name}.safetensors"
        said = load_checkpoint(checkpoint).info.card["trunk"]
        assert said["name"] == "sam2_nano.safetensors"
        probability = tmp_path / f"{name}.nii.gz"
        predicted = medprism(
            *("predict", picture, "-o", mask, "--probability", probability),
            *("--task", "liver", "--model", checkpoint),
        )
        assert predicted.status == 0, predicted.err
        assert read_mask(mask).names == {1: "liver"}
        probabilities.append(np.asarray(read_image(probability).voxels))
    assert probabilities[0].std() > 0


def _missing(path: Path, nano: Path) -> str:
    return "no trunk at"


def _cut(path: Path, nano: Path) -> str:
    path.write_bytes(write_official(path, draw_tensors(NANO)).read_bytes()[:4000])
    return "is not a whole safetensors file"


def _official_pickle(path: Path, nano: Path) -> str:
    torch.save({"model": {PREFIX + n: t for n, t in draw_tensors(NANO).items()}}, path)
    return "is a pickle, which can run programs and is never opened here"


def _other_model(path: Path, nano: Path) -> str:
    path.write_bytes(nano.read_bytes())
    return "holds 0 trunks of Hiera"


def _other_shape(path: Path, nano: Path) -> str:
    write_official(path, {**draw_tensors(NANO), "pos_embed": torch.zeros(1, 8, 14, 14)})
    return "first pos_embed"


@pytest.mark.parametrize(
    "make",
    [_missing, _cut, _official_pickle, _other_model, _other_shape],
    ids=lambda make: make.__name__.strip("_"),
)
def test_files_that_are_no_trunk(
    medprism: Command,
    store: Path,
    nano: Path,
    tmp_path: Path,
    make: Callable[[Path, Path], str],
) -> None:
    path, run = tmp_path / "sam2.safetensors", tmp_path / "run"
    says = make(path, nano)
    ended = medprism(
        *("train", "tpseg-nano", "--store", store, "--out", run, "--steps", "2"),
        *("--tasks", "liver", "--trunk", path),
    )
    assert ended.status == 2
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("medprism: ")
    assert says in last
    assert "Traceback" not in ended.err
    assert not (run / "run.json").exists()


@pytest.mark.parametrize("recipe", ["kprism-nano", "iris-nano"])
def test_other_recipes_take_no_trunk(
    medprism: Command, store: Path, tmp_path: Path, recipe: str
) -> None:
    ended = medprism(
        *("train", recipe, "--store", store, "--out", tmp_path / "run", "--steps", "2"),
        *("--trunk", tmp_path / "sam2.safetensors"),
    )
    assert ended.status == 2
    assert "--trunk" in ended.err
