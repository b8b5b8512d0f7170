from __future__ import annotations

import json
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medprism.core.errors import ImageReadError
from medprism.core.image import Image
from medprism.inference.image_record import image_from_json, image_to_json
from medprism.io.reader import read_image
from tests.inference.phantom import scene

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)
DTYPES = st.sampled_from([np.uint8, np.int16, np.uint16, np.float32, np.float64])


@settings(max_examples=30)
@given(hnp.arrays(DTYPES, SHAPES, elements=st.integers(0, 100)), st.sampled_from(["CT", None]))
def test_an_image_that_came_as_an_array_is_kept_whole(
    array: np.ndarray, modality: str | None
) -> None:
    affine = np.array([[0, 0, 1.5, 3], [0, 2.0, 0, 4], [3.0, 0, 0, 5], [0, 0, 0, 1]])
    image = Image.from_array(array, affine=affine, modality=modality)
    record = json.loads(json.dumps(image_to_json(image, Path("folder"), embed=False)))
    again = image_from_json(record, image.digest, Path("elsewhere"))
    np.testing.assert_array_equal(again.voxels, image.voxels)
    assert again.voxels.dtype == image.voxels.dtype
    assert again.geometry.matches(image.geometry)
    assert (again.modality, again.is_planar) == (modality, image.is_planar)
    assert again.geometry.is_physical


@pytest.fixture
def picture(tmp_path: Path) -> Image:
    (tmp_path / "study").mkdir()
    cv2.imwrite(str(tmp_path / "study" / "a.png"), scene()[0])
    return read_image(tmp_path / "study" / "a.png")


def test_an_image_from_a_file_is_kept_by_path_and_found_after_a_move(
    picture: Image, tmp_path: Path
) -> None:
    record = image_to_json(picture, tmp_path / "study", embed=False)
    assert record["pixels"] is None
    assert image_from_json(record, picture.digest, tmp_path / "study").digest == picture.digest
    (tmp_path / "study").rename(tmp_path / "moved")
    moved = image_from_json(record, picture.digest, tmp_path / "moved")
    assert moved.source == tmp_path / "moved" / "a.png"
    with pytest.raises(ImageReadError, match="not there any more; put it back"):
        image_from_json(record, picture.digest, tmp_path)


def test_an_embedded_file_needs_no_file(picture: Image, tmp_path: Path) -> None:
    record = image_to_json(picture, tmp_path, embed=True)
    (tmp_path / "study" / "a.png").unlink()
    again = image_from_json(record, picture.digest, tmp_path)
    np.testing.assert_array_equal(again.voxels, picture.voxels)


def test_a_file_that_changed_is_refused(picture: Image, tmp_path: Path) -> None:
    record = image_to_json(picture, tmp_path, embed=False)
    cv2.imwrite(str(tmp_path / "study" / "a.png"), scene(1)[0])
    with pytest.raises(ImageReadError, match="not the image that was annotated"):
        image_from_json(record, picture.digest, tmp_path)
    (tmp_path / "study" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageReadError, match="cannot be read again"):
        image_from_json(record, picture.digest, tmp_path)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("pixels", "!!!"),
        ("pixels", 7),
        ("dtype", "object"),
        ("dtype", "U4"),
        ("shape", [1, 88, 124]),
        ("shape", [1, 88, -124, 1]),
        ("shape", [1, 88, 125, 1]),
        ("affine", [[1.0]]),
        ("is_planar", 1),
        ("modality", 4),
    ],
)
def test_a_damaged_record_is_refused(field: str, wrong: object) -> None:
    image = Image.from_array(scene()[0])
    record = {**image_to_json(image, Path("x"), embed=True), field: wrong}
    with pytest.raises((ValueError, TypeError)):
        image_from_json(record, image.digest, Path("x"))


def test_pixels_that_unpack_to_more_than_the_image_are_refused() -> None:
    large = Image.from_array(np.zeros((400, 500), np.uint8))
    record = image_to_json(large, Path("x"), embed=True)
    record["shape"] = [1, 2, 3, 1]
    with pytest.raises(ValueError, match="cannot reshape"):
        image_from_json(record, large.digest, Path("x"))


def test_one_of_several_images_of_a_file_is_found_again(tmp_path: Path) -> None:
    volumes = np.random.default_rng(4).integers(0, 90, (6, 5, 4, 3)).astype(np.int16)
    nib.save(nib.Nifti1Image(volumes, np.eye(4)), tmp_path / "four.nii")
    image = read_image(tmp_path / "four.nii", "2")
    record = json.loads(json.dumps(image_to_json(image, tmp_path, embed=False)))
    again = image_from_json(record, image.digest, tmp_path)
    np.testing.assert_array_equal(again.voxels, image.voxels)
    assert again.part == "2"
    embedded = json.loads(json.dumps(image_to_json(image, tmp_path, embed=True)))
    assert image_from_json(embedded, image.digest, tmp_path).part == "2"
    del embedded["part"]
    assert image_from_json(embedded, image.digest, tmp_path).part is None
