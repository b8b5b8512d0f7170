from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import ImageReadError, StoreError
from medprism.data import preparation
from medprism.data.datasets.adapters import open_dataset
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import MANIFEST, SliceStore
from tests.data.phantoms import (
    comma,
    damage,
    picture,
    settle,
    stored_cases,
    write_case,
    write_dataset,
)


@pytest.mark.parametrize("side", ["images", "masks"])
def test_a_damaged_case_is_left_out_and_named(tmp_path: Path, side: str) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    path = tmp_path / "set" / side / "p0_z004.png"
    whole = path.read_bytes()
    damage(path)
    report = prepare([tmp_path / "set"], tmp_path / "store")
    (failure,) = report.datasets[0].failures
    assert (failure.case, failure.file) == ("p0_z004", str(path))
    assert "p0_z004" in failure.reason
    assert report.num_failures == 1
    assert any(f"left out set/p0_z004 ({path}): " in line for line in report.lines())
    store = SliceStore.open(tmp_path / "store")
    assert [row.case_id for row in store.rows] == ["p0_z000", "p0_z008"]
    manifest = json.loads((tmp_path / "store" / MANIFEST).read_text())
    assert manifest["datasets"]["set"]["failures"] == [
        {"case": "p0_z004", "file": str(path), "reason": failure.reason}
    ]
    again = prepare([tmp_path / "set"], tmp_path / "store")
    assert not again.datasets[0].was_prepared
    assert again.num_failures == 1
    path.write_bytes(whole)
    repaired = prepare([tmp_path / "set"], tmp_path / "store")
    assert repaired.num_failures == 0
    assert len(SliceStore.open(tmp_path / "store")) == 3


def test_a_case_whose_file_is_away_is_picked_up_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    settle(tmp_path / "set")
    path, aside = tmp_path / "set" / "images" / "p0_z004.png", tmp_path / "aside.png"
    dataset = open_dataset(tmp_path / "set", tmp_path / "store" / "splits")
    path.rename(aside)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "open_dataset", lambda folder, splits: dataset)
        assert prepare([tmp_path / "set"], tmp_path / "store").num_failures == 1
    aside.rename(path)
    assert prepare([tmp_path / "set"], tmp_path / "store").num_failures == 0


def test_with_strictness_a_damaged_case_leaves_the_former_store(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2)
    out = tmp_path / "store"
    prepare([tmp_path / "set"], out)
    former = stored_cases(out)
    damage(tmp_path / "set" / "images" / "p0_z004.png")
    damage(tmp_path / "set" / "masks" / "p1_z000.png")
    with pytest.raises(ImageReadError, match=r"2 cases cannot be read: set/p0_z004") as caught:
        prepare([tmp_path / "set"], out, PrepareConfig(strict=True))
    assert "\n" not in str(caught.value)
    assert stored_cases(out) == former
    assert prepare([tmp_path / "set"], out).num_failures == 2
    with pytest.raises(ImageReadError, match="2 cases cannot be read"):
        prepare([tmp_path / "set"], out, PrepareConfig(strict=True))


def test_a_set_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    write_dataset(tmp_path / "good", num_patients=1)
    write_dataset(tmp_path / "set", num_patients=1)
    for path in (tmp_path / "set" / "images").iterdir():
        damage(path)
    folders = [tmp_path / "good", tmp_path / "set"]
    with pytest.raises(ImageReadError, match=r"none of the 3 cases of set can be read") as caught:
        prepare(folders, tmp_path / "store")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="holds no slice store"):
        SliceStore.open(tmp_path / "store")


def test_a_mask_on_another_grid_is_left_out(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    mask = comma((60, 44), 5, 6, 15)
    write_case(tmp_path / "set", "p0_z004", picture((60, 44), mask, 3), mask[:, 1:] * 1)
    (failure,) = prepare([tmp_path / "set"], tmp_path / "store").datasets[0].failures
    assert failure.case == "p0_z004"
    assert "(1, 60, 43) voxels" in failure.reason


def test_a_coloured_mask_is_left_out(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=1)
    colours = np.zeros((60, 44, 3), np.uint8)
    colours[3:9, 4:20] = (10, 200, 30)
    cv2.imwrite(str(tmp_path / "set" / "masks" / "p0_z004.png"), colours)
    (failure,) = prepare([tmp_path / "set"], tmp_path / "store").datasets[0].failures
    assert "p0_z004" in failure.reason
