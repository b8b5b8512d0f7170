from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image


@pytest.mark.parametrize(
    ("shape", "mask_shape", "is_rgb"),
    [
        ((4, 6), (4, 6), False),
        ((4, 6, 3), (4, 6), True),
        ((5, 4, 6), (5, 4, 6), False),
        ((5, 4, 6, 3), (5, 4, 6), True),
        ((1, 1), (1, 1), False),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_arrays_of_every_kind_become_images(
    shape: tuple[int, ...], mask_shape: tuple[int, ...], is_rgb: bool, dtype: type
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    image = Image.from_array(array)
    assert image.shape == mask_shape
    assert image.is_rgb is is_rgb
    assert image.voxels.dtype == dtype
    assert image.num_slices == (mask_shape[0] if len(mask_shape) == 3 else 1)
    np.testing.assert_array_equal(image.voxels.ravel(), array.ravel())


def test_a_mask_as_image_holds_zeros_and_ones() -> None:
    image = Image.from_array(np.array([[True, False]]))
    assert image.voxels.ravel().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 6), complex), "complex128"),
        (np.zeros((4, 6), "U3"), "dtype"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((2, 3, 4, 6, 3)), "expected"),
        (np.zeros((0, 6)), "no pixels"),
        (np.zeros((2, 0, 6, 3)), "no pixels"),
        (np.full((4, 6), np.nan), "no finite value"),
        (np.full((4, 6), -np.inf), "no finite value"),
    ],
)
def test_what_is_no_image_is_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(ImageReadError, match=reason):
        Image.from_array(array)


def test_four_channels_are_refused() -> None:
    with pytest.raises(ImageReadError, match="4 channels; 1 .grey. or 3 .RGB."):
        Image(np.zeros((1, 4, 6, 4), np.uint8), Geometry.pixels((1, 4, 6)), is_planar=True)


def test_one_finite_value_is_enough() -> None:
    array = np.full((4, 6), np.nan)
    array[1, 2] = 3.0
    assert Image.from_array(array).shape == (4, 6)


def test_geometry_must_fit_the_array() -> None:
    with pytest.raises(GeometryError, match=r"\(2, 4, 6\) does not fit geometry"):
        Image(np.zeros((2, 4, 6, 1)), Geometry.pixels((2, 6, 4)), is_planar=False)


def test_an_affine_makes_the_image_physical() -> None:
    affine = np.diag([2.0, 0.5, 0.5, 1.0])
    image = Image.from_array(np.zeros((3, 4, 6)), affine=affine, modality="CT")
    assert image.geometry.is_physical
    assert image.geometry.spacing == (2.0, 0.5, 0.5)
    assert not Image.from_array(np.zeros((3, 4, 6))).geometry.is_physical


def test_digest_depends_on_content_dtype_and_shape_alone() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = Image.from_array(array)
    changed = array.copy()
    changed[3, 5] += 1
    others = [
        Image.from_array(changed),
        Image.from_array(array.reshape(6, 4)),
        Image.from_array(array.astype(np.int16)),
        Image.from_array(array[None]),
    ]
    assert image.digest == Image.from_array(array.copy(), modality="CT").digest
    assert image.digest == Image.from_array(np.asfortranarray(array)).digest
    assert image.digest not in {other.digest for other in others[:3]}
    assert image.digest == others[3].digest


def test_masks_move_between_both_shapes() -> None:
    picture, volume = Image.from_array(np.zeros((4, 6))), Image.from_array(np.zeros((5, 4, 6)))
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    stack = picture.to_stack(mask)
    assert stack.shape == (1, 4, 6)
    np.testing.assert_array_equal(picture.from_stack(stack), mask)
    cube = np.repeat(mask[None], 5, axis=0)
    np.testing.assert_array_equal(volume.from_stack(volume.to_stack(cube)), cube)


def test_a_mask_of_another_size_is_refused_with_both_shapes() -> None:
    image = Image.from_array(np.zeros((4, 6)))
    with pytest.raises(GeometryError, match=r"\(6, 4\) but its image has shape \(4, 6\)"):
        image.to_stack(np.zeros((6, 4), bool))


def test_replace_keeps_the_rest() -> None:
    image = Image.from_array(np.zeros((4, 6), np.uint8))
    changed = image.replace(modality="XR")
    assert changed.modality == "XR"
    assert changed.voxels is image.voxels
