from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import LabelError, StoreError
from medprism.data.datasets.adapters import open_dataset
from medprism.evaluation.cases import Target
from medprism.evaluation.whole_volume import VolumeFolder, other_volumes
from medprism.io.reader import read_mask
from tests.data.phantoms import write_dataset
from tests.evaluation.phantoms import write_scans

KIDNEY = Target("scans", "left kidney", (2,), True)
BOTH = Target("scans", "organ", (1, 2), True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> VolumeFolder:
    root = tmp_path_factory.mktemp("scans")
    return VolumeFolder(open_dataset(write_scans(root / "scans"), root / "splits"))


def test_a_volume_has_all_slices_and_its_own_spacing(folder: VolumeFolder) -> None:
    assert (folder.names("test"), folder.names("train")) == (("a",), ("b", "c", "d"))
    volume = folder.volume("d")
    assert (volume.name, volume.patient, volume.split) == ("d", "q", "train")
    assert volume.image.geometry.spacing == pytest.approx((4.0, 1.5, 0.5))
    assert folder.volume("d") is volume


@pytest.mark.parametrize("name", "abcd")
def test_truth_is_that_of_the_mask_file(folder: VolumeFolder, name: str) -> None:
    volume = folder.volume(name)
    path = Path(str(volume.image.source)).with_name(f"{name}_seg.nii.gz")
    numbers = read_mask(path, like=volume.image).array
    for target in (KIDNEY, BOTH):
        expected = np.isin(numbers, target.label_ids)
        np.testing.assert_array_equal(volume.truth(target), expected)
        assert volume.shown(target) == tuple(np.flatnonzero(expected.any((1, 2))))
    assert (volume.shown(KIDNEY) == ()) == (name == "c")


def test_references_are_other_volumes_of_train_in_a_seeded_order(folder: VolumeFolder) -> None:
    orders = {other_volumes(folder, "a", KIDNEY, seed) for seed in range(20)}
    assert len(orders) > 2
    assert all(sorted(order) == ["b", "c", "d"] for order in orders)
    assert set(other_volumes(folder, "b", KIDNEY, 0)) == {"c", "d"}


def test_pictures_and_unknown_names_are_refused(folder: VolumeFolder, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="scans has no volume 'z'"):
        folder.volume("z")
    cases = write_dataset(tmp_path / "pictures", num_patients=2, slices=1)
    pictures = VolumeFolder(open_dataset(tmp_path / "pictures", tmp_path / "splits"))
    with pytest.raises(StoreError, match="is a picture"):
        pictures.volume(cases[0])
