from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.layouts.nnunet import read
from tests.data.layouts.trees import CASES, write_nnunet


def _change(folder: Path, **changes: object) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_cases_channels_classes_and_test_images_are_found(tmp_path: Path) -> None:
    write_nnunet(tmp_path)
    found = read(tmp_path)
    assert [item.case_id for item in found.items] == [*sorted(CASES), "t"]
    assert [len(item.channels) for item in found.items] == [2] * 5
    assert [item.mask is None for item in found.items] == [False] * 4 + [True]
    assert dict(found.classes) == {1: "liver", 2: "kidney, left"}
    assert found.channel_names == ("T1w", "T2w")


def test_regions_are_left_out_and_their_labels_get_names(tmp_path: Path) -> None:
    write_nnunet(tmp_path)
    _change(
        tmp_path, labels={"background": 0, "whole": [1, 2], "core": [2]}, regions_class_order=[1, 2]
    )
    found = read(tmp_path)
    assert dict(found.classes) == {1: "label 1", 2: "label 2"}
    assert found.ignored == (
        "the region 'whole', a union of labels",
        "the region 'core', a union of labels",
    )


def test_the_table_of_cases_may_name_files_anywhere_inside(tmp_path: Path) -> None:
    write_nnunet(tmp_path, channels=1)
    (tmp_path / "raw").mkdir()
    (tmp_path / "imagesTr/q_0000.nii.gz").rename(tmp_path / "raw/q.nii.gz")
    entry = {"images": ["raw/q.nii.gz"], "label": "labelsTr/q.nii.gz"}
    _change(tmp_path, dataset={"q": entry})
    (item,) = (item for item in read(tmp_path).items if item.mask is not None)
    assert item.channels[0].path == tmp_path / "raw/q.nii.gz"
    for bad, said in (
        ({"images": ["../q.nii.gz"], "label": "labelsTr/q.nii.gz"}, "lies outside"),
        ({"images": ["/etc/passwd"], "label": "labelsTr/q.nii.gz"}, "lies outside"),
        ({"images": ["raw/x.nii.gz"], "label": "labelsTr/q.nii.gz"}, "which is not there"),
    ):
        _change(tmp_path, dataset={"q": bad})
        with pytest.raises(ImageReadError, match=said):
            read(tmp_path)
    _change(tmp_path, dataset={"q": {"images": []}})
    with pytest.raises(LabelError, match="the entry of 'q'"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channel_names": ["T1w"]}, "channel_names must be a table"),
        ({"labels": [1]}, "labels must be a table"),
        ({"labels": {"liver": "one"}}, "the label 'liver' has the number 'one'"),
        ({"labels": {"liver": -1}}, "has the number -1"),
        ({"file_ending": "nii"}, "file_ending 'nii' must be a suffix"),
        ({"file_ending": None}, "file_ending None"),
        ({"medprism": {"colours": {"1": [1, 2]}}}, "'medprism.colours.1' is not usable|usable"),
        ({"medprism": {"colours": {"1": [1, 2, 900]}}}, "not three numbers 0 to 255"),
    ],
)
def test_a_damaged_document_is_one_sentence(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write_nnunet(tmp_path)
    _change(tmp_path, **changes)
    with pytest.raises(LabelError, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_nnunet(tmp_path)
    (tmp_path / "imagesTr/q_0001.nii.gz").rename(tmp_path / "q_0001.nii.gz")
    with pytest.raises(ImageReadError, match="q_0001 is not there; dataset.json names 2 channels"):
        read(tmp_path)
    (tmp_path / "q_0001.nii.gz").rename(tmp_path / "imagesTr/q_0001.nii.gz")
    (tmp_path / "labelsTr/q.nii.gz").rename(tmp_path / "labelsTr/r.nii.gz")
    with pytest.raises(ImageReadError, match="'q' has no partner"):
        read(tmp_path)
    (tmp_path / "labelsTr/r.nii.gz").rename(tmp_path / "imagesTr/stray.nii.gz")
    with pytest.raises(ImageReadError, match="stray.nii.gz has no channel number"):
        read(tmp_path)
