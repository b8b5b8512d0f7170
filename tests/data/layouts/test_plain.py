from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.layouts.conversion import convert
from medprism.data.layouts.plain import read
from tests.data.layouts.trees import (
    CASES,
    CLASSES,
    COLOURS,
    numbers_of,
    save_nifti,
    voxels_of,
    write_nnunet,
    write_plain_volumes,
)


def test_everything_that_dataset_json_says_is_read(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path)
    found = read(tmp_path)
    assert {item.case_id: item.patient for item in found.items} == CASES
    assert dict(found.classes) == CLASSES
    assert dict(found.colours) == COLOURS
    assert {item.case_id for item in found.items if item.split == "train"} == {"p-1_a", "p-1_b"}


def test_no_split_is_invented(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path, described=False)
    assert {item.split for item in read(tmp_path).items} == {None}
    assert not (tmp_path / "splits").exists()


def test_volumes_in_one_folder_are_read(tmp_path: Path) -> None:
    save_nifti(tmp_path / "volumes/q_img.nii.gz", voxels_of("q"))
    save_nifti(tmp_path / "volumes/q_seg.nii.gz", numbers_of("q"))
    (item,) = read(tmp_path).items
    assert (item.case_id, item.channels[0].path.name) == ("q", "q_img.nii.gz")


def test_a_split_that_leaves_cases_out_is_not_written(tmp_path: Path) -> None:
    write_nnunet(tmp_path / "nn")
    convert(tmp_path / "nn", tmp_path / "plain", "plain")
    document = json.loads((tmp_path / "plain/dataset.json").read_text())
    assert "split" not in document
    assert read(tmp_path / "plain").classes == {1: "liver", 2: "kidney, left"}


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path)
    path = tmp_path / "dataset.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "medprism": {"colours": {"1": "red"}}}))
    with pytest.raises(LabelError, match=r"'medprism\.colours"):
        read(tmp_path)
    path.write_text("{")
    with pytest.raises(LabelError, match=r"dataset\.json"):
        read(tmp_path)
    path.unlink()
    (tmp_path / "masks/q.nii.gz").unlink()
    with pytest.raises(ImageReadError, match="'q' has no partner"):
        read(tmp_path)
