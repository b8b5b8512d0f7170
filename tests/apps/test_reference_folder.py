from __future__ import annotations

import json
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from medprism.apps.reference_folder import open_references
from medprism.core.errors import GeometryError, ImageReadError, LabelError, ReferencePairError
from medprism.core.image import Image
from tests.data.phantoms import write_dataset
from tests.inference.phantom import SHAPE, scene, volume


def _plain(folder: Path, count: int) -> Path:
    for side in ("images", "masks"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        image, masks = scene(number)
        assert cv2.imwrite(str(folder / "images" / f"{number:02}.png"), image)
        assert cv2.imwrite(str(folder / "masks" / f"{number:02}.png"), masks["liver"] * np.uint8(9))
    return folder


def test_a_plain_folder_gives_its_pairs_as_they_are(tmp_path: Path) -> None:
    found = open_references(_plain(tmp_path / "r", 3), "organ")
    assert found.label == "organ"
    assert found.left_out == 0
    assert [(one.image, one.mask) for one in found.examples] == [
        (tmp_path / "r" / "images" / f"0{n}.png", tmp_path / "r" / "masks" / f"0{n}.png")
        for n in range(3)
    ]
    # Nothing is written beside the user's files.
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["images", "masks"]


def test_of_many_pairs_some_are_taken_evenly(tmp_path: Path) -> None:
    found = open_references(_plain(tmp_path / "r", 7), None, most=3)
    assert [Path(str(one.image)).stem for one in found.examples] == ["00", "03", "06"]
    assert (found.label, found.left_out) == (None, 4)


def test_a_described_folder_gives_the_masks_of_one_class(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2, slices=3)
    found = open_references(tmp_path / "set", "Small-Comma")
    # Label 2 is on every other slice.
    assert len(found.examples) == 4
    for example in found.examples:
        assert isinstance(example.image, Image) and isinstance(example.mask, np.ndarray)
        stem = example.image.source.stem  # type: ignore[union-attr]
        stored = cv2.imread(str(tmp_path / "set" / "masks" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert (example.mask == (stored == 2)).all()


def test_the_only_class_needs_no_name(tmp_path: Path) -> None:
    folder = _plain(tmp_path / "r", 2)
    (folder / "dataset.json").write_text(json.dumps({"classes": {"9": "liver"}}))
    assert open_references(folder, None).label == "liver"
    assert len(open_references(folder, None).examples) == 2


def test_volumes_are_examples_as_a_whole(tmp_path: Path) -> None:
    images, masks = volume()
    (tmp_path / "set" / "volumes").mkdir(parents=True)
    for kind, array in (("img", images), ("seg", masks["polyp"].astype(np.uint8))):
        path = tmp_path / "set" / "volumes" / f"one_{kind}.nii.gz"
        nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), np.eye(4)), path)
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"classes": {"1": "polyp"}}))
    (example,) = open_references(tmp_path / "set", "polyp").examples
    assert isinstance(example.image, Image) and isinstance(example.mask, np.ndarray)
    assert example.image.shape == (5, *SHAPE)
    assert (example.mask == masks["polyp"]).all()


def test_what_does_not_say_which_class_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2)
    with pytest.raises(LabelError, match="has the classes big comma, small comma"):
        open_references(tmp_path / "set", None)
    with pytest.raises(LabelError, match="unknown class 'big coma'; did you mean big comma"):
        open_references(tmp_path / "set", "big coma")


def test_a_class_that_no_mask_shows_is_refused(tmp_path: Path) -> None:
    folder = _plain(tmp_path / "r", 2)
    (folder / "dataset.json").write_text(json.dumps({"classes": {"3": "liver"}}))
    with pytest.raises(ReferencePairError, match=r"none of the 2 masks .* shows 'liver'"):
        open_references(folder, "liver")


def test_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="is not a folder"):
        open_references(tmp_path, "x")


def test_masks_on_another_grid_are_refused_or_resampled(tmp_path: Path) -> None:
    images, masks = volume()
    (tmp_path / "set" / "volumes").mkdir(parents=True)
    fine, coarse = np.diag([1.0, 1.0, 4.0, 1.0]), np.diag([2.0, 2.0, 4.0, 1.0])
    seg = masks["polyp"].astype(np.uint8).transpose(2, 1, 0)
    img = images.transpose(2, 1, 0)[::2, ::2]
    nib.save(nib.Nifti1Image(seg, fine), tmp_path / "set" / "volumes" / "one_seg.nii.gz")
    nib.save(nib.Nifti1Image(img, coarse), tmp_path / "set" / "volumes" / "one_img.nii.gz")
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"classes": {"1": "polyp"}}))
    with pytest.raises(GeometryError, match="--resample"):
        open_references(tmp_path / "set", "polyp")
    (example,) = open_references(tmp_path / "set", "polyp", resample=True).examples
    assert (example.mask == masks["polyp"][:, ::2, ::2]).all()
