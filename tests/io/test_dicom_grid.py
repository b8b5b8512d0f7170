from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scipy.spatial.transform import Rotation

from medprism.core.errors import ImageReadError
from medprism.io.dicom_grid import Plane, plane_of, stack_geometry, stack_order
from tests.io.phantoms import ct_slice

PIXELS = np.zeros((5, 7), np.uint16)


def planes(positions: list[tuple[float, float, float]]) -> list[Plane]:
    return [plane_of(ct_slice(PIXELS, position)) for position in positions]


def names(count: int) -> list[str]:
    return [f"im{number}" for number in range(count)]


def along_z(depths: list[float]) -> list[Plane]:
    return planes([(1.0, 2.0, depth) for depth in depths])


def test_row_spacing_comes_first_and_the_first_direction_is_along_columns() -> None:
    orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    plane = plane_of(ct_slice(PIXELS, (3.0, 4.0, 5.0), orientation=orientation, spacing=(0.5, 0.8)))
    affine = stack_geometry([plane], 5, 7).affine
    # LPS (0, 1, 0) is RAS (0, -1, 0); (0, 0, -1) stays.
    np.testing.assert_allclose(affine[:3, 2], (0.0, -0.8, 0.0))
    np.testing.assert_allclose(affine[:3, 1], (0.0, 0.0, -0.5))
    np.testing.assert_allclose(affine[:3, 3], (-3.0, -4.0, 5.0))
    assert stack_geometry([plane], 5, 7).spacing[0] == 2.0


@given(st.permutations(range(6)), st.integers(0, 1000))
def test_slices_are_sorted_along_their_normal(order: list[int], seed: int) -> None:
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    step = turn[:, 2] * 1.5
    found = [Plane(step * index - 40.0, turn[:, 1], turn[:, 0], (0.5, 0.8), 1.0) for index in order]
    assert [order[index] for index in stack_order(found, names(6))] == list(range(6))


def test_gantry_tilt_stays_in_the_slice_axis() -> None:
    tilted = planes([(1.0, 2.0 + 0.6 * n, 2.0 * n) for n in range(4)])
    affine = stack_geometry(tilted, 5, 7).affine
    np.testing.assert_allclose(affine[:3, 0], (0.0, -0.6, 2.0), atol=1e-9)
    np.testing.assert_allclose(affine[:3, 1], (0.0, -0.5, 0.0), atol=1e-9)


def test_a_gap_is_named_with_its_slices() -> None:
    with pytest.raises(ImageReadError, match="im2 and im3 are 6 mm apart .* 2 mm apart: about 2"):
        stack_order(along_z([0, 2, 4, 10, 12]), names(5))


def test_slices_at_one_place_are_named() -> None:
    with pytest.raises(ImageReadError, match=r"2 slices lie where .*\(im0 and im3\).*passes"):
        stack_order(along_z([0, 2, 4, 0, 2, 6]), names(6))


def test_rounded_positions_are_even_enough() -> None:
    depths = [round(0.625 * n, 1) for n in range(40)]
    found = along_z(depths)
    assert stack_order(found, names(40)) == list(range(40))
    assert stack_geometry(found, 5, 7).spacing[0] == pytest.approx(0.625, rel=1e-2)


def test_uneven_slices_are_refused() -> None:
    found = along_z([0, 2, 4.6, 7, 8.4, 10])
    assert stack_order(found, names(6)) == list(range(6))
    with pytest.raises(ImageReadError, match="slice 2 of 6 lies .* mm beside the even grid"):
        stack_geometry(found, 5, 7)


def test_slices_beside_the_line_are_refused() -> None:
    found = planes([(0.0, 0.0, 0.0), (3.0, 0.0, 2.0), (0.0, 0.0, 4.0)])
    with pytest.raises(ImageReadError, match="3 mm beside the even grid"):
        stack_geometry(found, 5, 7)


def test_another_direction_or_spacing_is_refused_by_name() -> None:
    axial = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    coronal = ct_slice(PIXELS, (0.0, 0.0, 2.0), orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    coarse = ct_slice(PIXELS, (0.0, 0.0, 2.0), spacing=(0.9, 0.9))
    with pytest.raises(ImageReadError, match=r"im1 lies in another direction than im0"):
        stack_order([plane_of(axial), plane_of(coronal)], names(2))
    with pytest.raises(ImageReadError, match=r"im1 has pixel spacing \(0.9, 0.9\) mm but im0"):
        stack_order([plane_of(axial), plane_of(coarse)], names(2))


def test_images_without_position_form_no_volume_but_one_is_a_picture() -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    del dataset.ImagePositionPatient
    plane = plane_of(dataset)
    with pytest.raises(ImageReadError, match="im0 has no slice position, so its 2 images"):
        stack_order([plane, plane], names(2))
    geometry = stack_geometry([plane], 5, 7)
    assert geometry.spacing == pytest.approx((2.0, 0.5, 0.8))
    assert geometry.is_physical
    assert not stack_geometry([plane] * 3, 5, 7).is_physical


def test_x_rays_have_the_spacing_of_their_detector() -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    del dataset.ImagePositionPatient, dataset.PixelSpacing
    assert not stack_geometry([plane_of(dataset)], 5, 7).is_physical
    dataset.ImagerPixelSpacing = [0.1, 0.2]
    assert stack_geometry([plane_of(dataset)], 5, 7).spacing[1:] == pytest.approx((0.1, 0.2))


def test_planes_of_an_enhanced_object_come_from_its_groups() -> None:
    dataset = Dataset()
    shared, frame = Dataset(), Dataset()
    position, orientation, measures = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [1.0, 2.0, 3.0]
    orientation.ImageOrientationPatient = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
    measures.PixelSpacing = [0.5, 0.8]
    measures.SpacingBetweenSlices = 3.5
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    frame.PlanePositionSequence = Sequence([position])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([frame])
    plane = plane_of(dataset)
    assert plane.position is not None
    assert plane.position.tolist() == [1.0, 2.0, 3.0]
    assert plane.along_cols.tolist() == [0.0, 1.0, 0.0]
    assert plane.spacing == (0.5, 0.8)
    assert plane.thickness == 3.5


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PixelSpacing", [0.0, 0.5], "must be above 0"),
        ("PixelSpacing", [0.5], "must be 2 numbers"),
        ("PixelSpacing", [-1.0, 0.5], "must be above 0"),
        ("ImagePositionPatient", [1.0, 2.0], "must be 3 numbers"),
        ("ImageOrientationPatient", [0.0] * 6, "direction of length 0; it must be 1"),
        ("ImageOrientationPatient", [1.0, 0, 0, 0, 9.0, 0], "direction of length 9"),
    ],
)
def test_numbers_that_cannot_be_are_refused(name: str, value: list[float], reason: str) -> None:
    dataset = ct_slice(PIXELS, (0.0, 0.0, 0.0))
    setattr(dataset, name, value)
    with pytest.raises(ImageReadError, match=reason):
        plane_of(dataset)
