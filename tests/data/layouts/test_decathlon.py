from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.layouts.conversion import convert
from medprism.data.layouts.decathlon import read
from tests.data.layouts.trees import (
    CASES,
    numbers_of,
    save_nifti,
    voxels_of,
    write_nnunet,
    write_plain_volumes,
)


def _write(folder: Path, **changes: object) -> None:
    for case in CASES:
        both = np.stack([voxels_of(case), voxels_of(case, 1)], axis=-1)
        save_nifti(folder / "imagesTr" / f"{case}.nii.gz", both)
        save_nifti(folder / "labelsTr" / f"{case}.nii.gz", numbers_of(case))
    save_nifti(folder / "imagesTs" / "t.nii.gz", np.stack([voxels_of("q")] * 2, axis=-1))
    document = {
        "name": "Phantoms",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "liver", "4": "kidney, left"},
        "training": [
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"}
            for case in CASES
        ],
        "test": ["./imagesTs/t.nii.gz"],
        **changes,
    }
    (folder / "dataset.json").write_text(json.dumps(document))


def test_channels_are_the_volumes_of_a_file(tmp_path: Path) -> None:
    _write(tmp_path)
    found = read(tmp_path)
    item = next(item for item in found.items if item.case_id == "q")
    for channel, seed in zip(item.channels, (0, 1), strict=True):
        np.testing.assert_array_equal(channel.read().voxels[..., 0], voxels_of("q", seed))
    assert dict(found.classes) == {1: "liver", 4: "kidney, left"}
    assert (found.description.name, found.description.licence) == ("Phantoms", "CC-BY-SA 4.0")
    assert [item.case_id for item in found.items if item.mask is None] == ["t"]


def test_channels_of_four_axes_become_files_for_nnunet_and_come_back(tmp_path: Path) -> None:
    _write(tmp_path / "msd")
    convert(tmp_path / "msd", tmp_path / "nn", "nnunet")
    assert (tmp_path / "nn/imagesTr/q_0001.nii.gz").exists()
    convert(tmp_path / "nn", tmp_path / "back", "msd")
    for one, two in zip(read(tmp_path / "msd").items, read(tmp_path / "back").items, strict=True):
        for here, there in zip(one.channels, two.channels, strict=True):
            np.testing.assert_array_equal(here.read().voxels, there.read().voxels)
            assert here.read().geometry.matches(there.read().geometry)


def test_a_task_of_nnunet_v1_with_a_file_a_channel_is_read(tmp_path: Path) -> None:
    write_nnunet(tmp_path)
    document = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "liver", "2": "kidney, left"},
        "training": [
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"}
            for case in CASES
        ],
        "test": [],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    item = read(tmp_path).items[0]
    assert [channel.path.name for channel in item.channels] == [
        f"{item.case_id}_0000.nii.gz",
        f"{item.case_id}_0001.nii.gz",
    ]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"training": {}}, LabelError, "training must be a list"),
        ({"training": ["a"]}, LabelError, "must have an image and a label"),
        ({"training": []}, LabelError, "lists no case|twice"),
        ({"modality": ["CT"]}, LabelError, "modality must be a table"),
        ({"labels": {"one": "liver"}}, LabelError, "labels must be a table"),
        ({"test": "none"}, LabelError, "test must be a list"),
        ({"test": ["../../secret.nii.gz"]}, ImageReadError, "lies outside"),
        ({"test": ["./imagesTs/u.nii.gz"]}, ImageReadError, "which is not there"),
    ],
)
def test_a_damaged_document_is_one_sentence(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    _write(tmp_path, **changes)
    if changes.get("training") == []:
        _write(tmp_path, training=[], test=[])
    with pytest.raises(error, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_document_has_what_the_decathlon_documents_have(tmp_path: Path) -> None:
    write_plain_volumes(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "msd", "msd")
    document = json.loads((tmp_path / "msd/dataset.json").read_text())
    assert set(document) >= {
        "name",
        "description",
        "reference",
        "licence",
        "release",
        "tensorImageSize",
        "modality",
        "labels",
        "numTraining",
        "numTest",
        "training",
        "test",
    }
    assert document["labels"] == {"0": "background", "1": "liver", "4": "kidney, left"}
    assert (document["numTraining"], document["numTest"]) == (4, 0)
    assert document["modality"] == {"0": "CT"}
