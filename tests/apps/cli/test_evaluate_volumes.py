from __future__ import annotations

import json
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest

from medprism.evaluation.volumes import VolumeExaminer
from tests.apps.conftest import Command
from tests.evaluation.phantoms import write_scans, write_scenes
from tests.inference.phantom import scene

# Two of them the nano knows; the third it does not.
CLASSES = {"1": "hook", "2": "flag", "3": "polyp"}


def describe(folder: Path, **changes: object) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_scans(tmp_path_factory.mktemp("sets") / "scans")
    split = {"test": ["a", "c"], "train": ["b", "d"]}
    return describe(folder, classes=CLASSES, split=split)


def ask(scans: Path, nano: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("evaluate-volumes", scans, "--model", nano, "--out", out, "--threads", "1", *more)


def test_figures_in_mm_are_written_for_every_class(
    medprism: Command, nano: Path, scans: Path, tmp_path: Path
) -> None:
    ended = medprism(*ask(scans.parent, nano, tmp_path / "out", "--no-zoom", "--json"))
    assert ended.status == 0, ended.err
    (one,) = ended.json()["sets"]
    assert one["lacking"] == ["polyp"]
    assert one["plan"]["auto_zoom"] is False
    figures = one["summary"]["by_class"]
    assert {"volume Dice", "volume HD95", "volume NSD"} <= set(figures["hook"])
    assert "volume Dice by reference" in figures["polyp"]
    assert "volume Dice" not in figures["polyp"]
    assert figures["hook"]["volume Dice"]["num_patients"] == 2
    assert figures["hook"]["volume Dice"]["low"] is not None
    page = (tmp_path / "out" / "volumes.md").read_text()
    assert "HD95 in mm" in page and "Not asked by class, as the model lacks it: polyp." in page
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"nano--scans.json", "volumes.json", "volumes.md"}


def test_an_interrupted_evaluation_goes_on_with_the_next_volume(
    medprism: Command, nano: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine, asked = VolumeExaminer.examine, []

    def until_the_second(self: VolumeExaminer, name: str) -> object:
        asked.append(name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return examine(self, name)

    monkeypatch.setattr(VolumeExaminer, "examine", until_the_second)
    stopped = medprism(*ask(scans, nano, tmp_path / "out"))
    assert stopped.status != 0
    assert (tmp_path / "out" / "nano--scans.part").exists()
    ended = medprism(*ask(scans, nano, tmp_path / "out"))
    assert ended.status == 0, ended.err
    assert asked == ["a", "c", "c"]
    assert "scans (train), nano by class: Dice " in ended.out
    assert medprism(*ask(scans, nano, tmp_path / "out")).out == ended.out
    assert len(asked) == 3


def test_sets_without_a_split_of_their_own_take_that_of_a_store(
    medprism: Command, nano: Path, scans: Path, tmp_path: Path
) -> None:
    folder = write_scans(tmp_path / "sets" / "mine")
    described = json.loads((folder / "dataset.json").read_text())
    del described["split"]
    (folder / "dataset.json").write_text(json.dumps({**described, "classes": CLASSES}))
    none = medprism(*ask(folder, nano, tmp_path / "out", "--store", tmp_path / "nowhere"))
    assert none.status == 2
    assert medprism("data", "prepare", folder, "--store", tmp_path / "store").status == 0
    written = json.loads((tmp_path / "store" / "splits" / "mine.json").read_text())["cases"]
    split = next(name for name in ("test", "train") if name in written.values())
    ended = medprism(
        *ask(folder, nano, tmp_path / "out", "--store", tmp_path / "store"),
        *("--split", split, "--json"),
    )
    assert ended.status == 0, ended.err
    (one,) = ended.json()["sets"]
    assert one["summary"]["facts"]["num_images"] == list(written.values()).count(split)
    assert not (tmp_path / "out" / "splits").exists()


def test_bad_input_is_one_sentence(
    medprism: Command, nano: Path, scans: Path, tmp_path: Path
) -> None:
    empty = write_scans(tmp_path / "empty")
    for path in (empty / "volumes").glob("*_seg.nii.gz"):
        blank = np.zeros(nibabel.load(path).shape, np.uint8)
        nibabel.save(nibabel.Nifti1Image(blank, nibabel.load(path).affine), path)
    unnamed = describe(write_scans(tmp_path / "unnamed"), classes={})
    unpaired = write_scans(tmp_path / "unpaired")
    (unpaired / "volumes" / "b_seg.nii.gz").unlink()
    pictures = write_scenes(tmp_path / "pictures", cases={"test": ["x", "y"]})
    (tmp_path / "nothing").mkdir()
    cv2.imwrite(str(tmp_path / "nothing" / "x.png"), scene()[0])
    for folder, options, said in (
        (tmp_path / "nothing", (), "is no dataset and holds none"),
        (unpaired, (), "'b' has no partner"),
        (pictures, (), "is a picture; only volumes are measured whole"),
        (unnamed, (), "unnamed names no classes; write them into its dataset.json"),
        (empty, (), "none of the 1 test volumes of empty shows a structure"),
        (scans, ("--split", "val"), "scans has no val volume"),
        (scans, ("--split", "exam"), "split 'exam'"),
        (scans, ("--shots", "2"), "with 2 shots"),
        (scans, ("--limit", "0"), "limit of 0 volumes"),
        (scans, ("--tolerance", "-1"), "tolerance of -1.0 mm"),
    ):
        ended = medprism(*ask(folder, nano, tmp_path / "out", *options))
        assert (ended.status, said in ended.err) == (2, True), (folder, ended.err)
        assert len(ended.err.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*--*.json"))
