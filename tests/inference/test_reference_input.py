from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from medprism.core.errors import ImageReadError, PromptError, ReferencePairError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.inference.reference_input import to_image, to_reference, to_references
from medprism.inference.session import Session
from medprism.io.writer import write_mask
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene

PIXELS, MASKS = scene()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), PIXELS)
    return path


def test_paths_arrays_and_images_are_images(picture: Path) -> None:
    for given in (picture, str(picture), PIXELS, PIXELS.tolist(), torch.from_numpy(PIXELS)):
        image = to_image(given)
        np.testing.assert_array_equal(image.voxels[0, ..., 0], PIXELS)
    ready = Image.from_array(PIXELS)
    assert to_image(ready) is ready


def test_an_array_is_copied() -> None:
    mine = PIXELS.copy()
    image = to_image(mine)
    mine[:] = 0
    np.testing.assert_array_equal(image.voxels[0, ..., 0], PIXELS)
    with pytest.raises(ValueError, match="read-only"):
        image.voxels[0, 0, 0] = 1


@pytest.mark.parametrize("wrong", [None, 5, [[1, 2], [3]], ["a", "b"], {}, np.zeros((2, 2, 2, 2))])
def test_what_is_no_image_is_refused(wrong: object) -> None:
    with pytest.raises(ImageReadError):
        to_image(wrong)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="nothing.png"):
        to_image(tmp_path / "nothing.png")


def test_one_pair_needs_no_lists() -> None:
    alone = to_references(PIXELS, MASKS["liver"], "liver", "me")
    listed = to_references([PIXELS], (MASKS["liver"],), "liver", "me")
    stacked = to_references(PIXELS[None], MASKS["liver"][None], "liver", "me")
    assert [one.digest for one in (*alone, *listed, *stacked)] == [alone[0].digest] * 3
    assert alone[0].provenance.author == "me"
    assert not alone[0].provenance.is_commit


def test_masks_may_be_of_any_number_type() -> None:
    expected = to_reference(PIXELS, MASKS["liver"], "liver").digest
    for dtype in (np.uint8, np.int64, np.float32):
        assert to_reference(PIXELS, MASKS["liver"].astype(dtype) * 255, "x").digest == expected


def test_a_mask_file_with_one_label_needs_no_name(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), MASKS["polyp"].astype(np.uint8) * 255)
    reference = to_reference(picture, path, "anything")
    np.testing.assert_array_equal(reference.planes[0].unpack(), MASKS["polyp"])
    assert reference.provenance.source == str(picture)


def test_a_mask_file_with_several_labels_is_read_by_name(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    image = Image.from_array(PIXELS)
    write_mask(path, Labels({name: MASKS[name] for name in MASKS}), like=image)
    for name in MASKS:
        reference = to_reference(picture, path, name)
        np.testing.assert_array_equal(reference.planes[0].unpack(), MASKS[name])
    with pytest.raises(
        ReferencePairError, match=r"\(liver, left kidney, polyp\) and none is named"
    ):
        to_reference(picture, path, "cyst")


def test_a_mask_that_lies_elsewhere_is_refused(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    there = np.diag([1.0, 2.0, 2.0, 1.0])
    affine = np.array(there)
    affine[:3, 3] = 50.0
    mask = Labels({"liver": MASKS["liver"][None]})
    write_mask(path, mask, like=Image.from_array(PIXELS[None], affine=affine))
    here = Image.from_array(PIXELS[None]).replace(geometry=Geometry((1, *PIXELS.shape), there))
    with pytest.raises(ReferencePairError, match="resample the mask"):
        to_reference(here, path, "liver")


def test_pairs_that_cannot_serve_are_refused() -> None:
    with pytest.raises(ReferencePairError, match="2 reference images but 1 masks"):
        to_references([PIXELS, PIXELS], [MASKS["liver"]], "liver", "")
    with pytest.raises(ReferencePairError, match="no foreground"):
        to_reference(PIXELS, np.zeros_like(PIXELS), "liver")
    with pytest.raises(
        ReferencePairError, match=r"shape \(87, 124\) but the image has \(88, 124\)"
    ):
        to_reference(PIXELS, MASKS["liver"][1:], "liver")
    with pytest.raises(ReferencePairError, match="no list of references"):
        to_references({"a": PIXELS}, [MASKS["liver"]], "liver", "")
    with pytest.raises(PromptError, match="array of 0 and 1"):
        to_reference(PIXELS, None, "liver")


def test_an_image_of_one_pixel_is_refused_and_the_open_one_stays() -> None:
    session = Session(fake_model())
    session.set_image(PIXELS)
    with pytest.raises(ImageReadError, match="at least two pixels"):
        session.set_image(np.zeros((1, 1), np.uint8))
    assert session.image is not None
    assert session.image.shape == PIXELS.shape


def test_a_mask_file_on_another_grid_is_refused_or_resampled(tmp_path: Path) -> None:
    fine = Image.from_array(PIXELS, affine=np.diag([3.0, 0.5, 0.5, 1.0]))
    coarse = Image.from_array(PIXELS[::2, ::2], affine=np.diag([3.0, 1.0, 1.0, 1.0]))
    write_mask(tmp_path / "m.nii.gz", Labels({"liver": MASKS["liver"]}), fine)
    session = Session(fake_model())
    with pytest.raises(ReferencePairError) as caught:
        session.add_reference(coarse, tmp_path / "m.nii.gz", "liver")
    assert fine.geometry.describe() in str(caught.value)
    assert coarse.geometry.describe() in str(caught.value)
    session.add_reference(coarse, tmp_path / "m.nii.gz", "liver", resample=True)
    (found,) = session.references.of("liver")
    np.testing.assert_array_equal(found.planes[0].unpack(), MASKS["liver"][::2, ::2])
    session.set_references([coarse], [tmp_path / "m.nii.gz"], "liver", resample=True)
    assert [one.digest for one in session.references.of("liver")] == [found.digest]
