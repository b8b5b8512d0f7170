from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import StoreError
from medprism.data.volumes import read_volume_sets

from .volume_phantoms import SHAPE, draw_volume, write_phantom_set


def test_volumes_of_any_storage_order_come_to_lie_alike(tmp_path: Path) -> None:
    folder = write_phantom_set(tmp_path / "set", 4)
    (found,) = read_volume_sets([folder], 64)
    assert found.spacing == 1.0
    assert [volume.split for volume in found.volumes] == ["train", "train", "val", "test"]
    for number, volume in enumerate(found.volumes):
        image, labels = draw_volume(number)
        np.testing.assert_array_equal(volume.labels, labels)
        assert np.corrcoef(volume.image.ravel(), image.ravel())[0, 1] > 0.8
        assert abs(float(volume.image.mean())) < 0.02
        assert volume.patient == f"patient{number}"


def test_thick_slices_come_to_the_working_spacing(tmp_path: Path) -> None:
    folder = write_phantom_set(tmp_path / "set", 3, spacing=(3.0, 1.0, 1.0))
    (found,) = read_volume_sets([folder], 64)
    assert found.spacing == round(SHAPE[0] * 3 / 64, 4)
    assert found.volumes[0].image.shape == (65, 29, 25)
    share = (found.volumes[0].labels == 1).mean() / (draw_volume(0)[1] == 1).mean()
    assert 0.8 < share < 1.2
    (coarser,) = read_volume_sets([folder], 32)
    assert coarser.spacing == round(SHAPE[0] * 3 / 32, 4)


def test_a_window_shows_what_the_paper_s_shows(tmp_path: Path) -> None:
    folder = write_phantom_set(tmp_path / "set", 3, spacing=(9.0, 1.0, 1.0))
    (found,) = read_volume_sets([folder], 64)
    assert found.spacing == 192 / 64
    assert found.volumes[0].image.shape[0] == 90


def test_only_training_sets_of_volumes_are_read(tmp_path: Path) -> None:
    good = write_phantom_set(tmp_path / "good", 3)
    other = write_phantom_set(tmp_path / "other", 3)
    described = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**described, "role": "samples"}))
    (found,) = read_volume_sets([good, other], 64)
    assert found.info.name == "good"
    with pytest.raises(StoreError, match="no training set"):
        read_volume_sets([other], 64)
    pictures = tmp_path / "pictures"
    for side in ("images", "masks"):
        (pictures / side).mkdir(parents=True)
        (pictures / side / "a.png").write_bytes(b"")
    with pytest.raises(StoreError, match="no folder of volumes"):
        read_volume_sets([pictures], 64)
