"""TP-Seg from folders to masks: trained, asked by task, and taught a further task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.io.reader import read_image, read_mask
from tests.apps.conftest import Command
from tests.evaluation.phantoms import write_scenes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one set of three structures."""
    root = tmp_path_factory.mktemp("data")
    write_scenes(root / "scenes", cases={"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]})
    return root


def test_a_run_a_mask_by_task_and_an_added_task(
    medprism: Command, data: Path, picture: Path, tmp_path: Path
) -> None:
    run, more = tmp_path / "run", tmp_path / "more"
    ended = medprism(
        *("train", "tpseg-nano", "--data", data, "--out", run, "--steps", "3"),
        *("--tasks", "liver"),
    )
    assert ended.status == 0, ended.err
    assert f"{run}: 3 of 3 steps, best score 0." in ended.out
    resumed = medprism("train", "tpseg-nano", "--out", run, "--resume")
    assert resumed.status == 0, resumed.err
    added = medprism(
        *("train", "tpseg-nano", "--store", run / "store", "--out", more, "--steps", "2"),
        *("--init", run / "last.safetensors", "--add-task", "left kidney"),
    )
    assert added.status == 0, added.err
    masks = []
    for number, folder in enumerate((run, more)):
        mask = tmp_path / f"{number}.nii.gz"
        probability = tmp_path / f"p{number}.nii.gz"
        predicted = medprism(
            *("predict", picture, "-o", mask, "--probability", probability),
            *("--task", "Liver", "--model", folder / "last.safetensors"),
        )
        assert predicted.status == 0, predicted.err
        assert "liver: " in predicted.out
        masks.append(np.asarray(read_image(probability).voxels))
        assert read_mask(mask).names == {1: "liver"}
    assert np.array_equal(masks[0], masks[1])
    wrong = medprism(
        *("predict", picture, "-o", tmp_path / "w.png"),
        *("--task", "left kidny", "--model", more / "last.safetensors"),
    )
    assert wrong.status == 2
    assert "unknown task 'left kidny'; did you mean left kidney?" in wrong.err
    assert not (tmp_path / "w.png").exists()
    again = medprism(
        *("train", "tpseg-nano", "--store", run / "store", "--out", tmp_path / "x"),
        *("--steps", "2", "--init", more / "last.safetensors", "--add-task", "left kidney"),
    )
    assert again.status == 2
    assert "is a task of the checkpoint already" in again.err


def test_a_model_without_tasks_is_not_asked_by_task(
    medprism: Command, nano: Path, picture: Path, tmp_path: Path
) -> None:
    ended = medprism(
        "predict", picture, "-o", tmp_path / "m.png", "--task", "hook", "--model", nano
    )
    assert ended.status == 2
    assert "has no tasks" in ended.err
    assert not (tmp_path / "m.png").exists()


def test_tasks_are_not_for_other_recipes(medprism: Command, data: Path, tmp_path: Path) -> None:
    ended = medprism(
        *("train", "kprism-nano", "--data", data, "--out", tmp_path / "run", "--steps", "2"),
        *("--add-task", "left kidney"),
    )
    assert ended.status == 2
    assert "for the recipes of TP-Seg" in ended.err
