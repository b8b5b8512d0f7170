from __future__ import annotations

from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medprism.core.errors import GeometryError, WriteError
from medprism.data.layouts.collection import ChannelFile
from medprism.data.layouts.image_file import bring_image, bring_slices
from medprism.io.reader import read_image
from tests.data.layouts.trees import AFFINE, save_nifti, voxels_of


def test_nrrd_becomes_nifti_on_the_same_grid(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(voxels_of("q"))
    image.SetSpacing((0.7, 0.9, 3.0))
    image.SetOrigin((-4.0, 8.0, 15.0))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    bring_image([ChannelFile(tmp_path / "a.nrrd")], tmp_path / "b.nii.gz")
    again = SimpleITK.ReadImage(str(tmp_path / "b.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), voxels_of("q"))
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(again, name)(), getattr(image, name)(), atol=1e-5)


def test_channels_lie_on_the_fourth_axis_as_nibabel_reads_it(tmp_path: Path) -> None:
    for number in range(2):
        save_nifti(tmp_path / f"{number}.nii.gz", voxels_of("q", number))
    sources = [ChannelFile(tmp_path / f"{number}.nii.gz") for number in range(2)]
    bring_image(sources, tmp_path / "both.nii.gz")
    loaded = nibabel.load(tmp_path / "both.nii.gz")
    for number in range(2):
        np.testing.assert_array_equal(
            np.asarray(loaded.dataobj)[..., number].swapaxes(0, 2), voxels_of("q", number)
        )
    np.testing.assert_allclose(loaded.affine, AFFINE, atol=1e-5)
    nibabel.save(
        nibabel.Nifti1Image(voxels_of("q").swapaxes(0, 2), np.eye(4)), tmp_path / "x.nii.gz"
    )
    with pytest.raises(GeometryError, match="channels of an image share their grid"):
        bring_image([sources[0], ChannelFile(tmp_path / "x.nii.gz")], tmp_path / "no.nii.gz")
    assert not (tmp_path / "no.nii.gz").exists()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_colours_survive_nifti_and_png(tmp_path: Path, pixels: np.ndarray) -> None:
    assert cv2.imwrite(str(tmp_path / "a.bmp"), np.ascontiguousarray(pixels[..., ::-1]))
    expected = read_image(tmp_path / "a.bmp").voxels
    for name in ("b.nii.gz", "b.png"):
        bring_image([ChannelFile(tmp_path / "a.bmp")], tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name).voxels, expected)


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii.gz", voxels_of("q"))
    source = ChannelFile(tmp_path / "a.nii.gz")
    with pytest.raises(WriteError, match="5 slices of int16; a PNG holds one"):
        bring_image([source], tmp_path / "a.png")
    with pytest.raises(WriteError, match=r"cannot write 2 channels of .* as a\.png"):
        bring_image([source, source], tmp_path / "a.png")
    with pytest.raises(WriteError, match=r"as a\.jpg"):
        bring_image([source], tmp_path / "a.jpg")
    deep = np.zeros((6, 5, 3), np.uint16)
    deep[1, 2] = (1000, 2, 3)
    assert cv2.imwrite(str(tmp_path / "deep.png"), deep)
    with pytest.raises(WriteError, match="a colour image of uint16 does not fit"):
        bring_image([ChannelFile(tmp_path / "deep.png")], tmp_path / "deep.nii.gz")


def test_slices_are_written_by_the_rule_of_their_volume(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii.gz", voxels_of("q") - 300)
    names = bring_slices(ChannelFile(tmp_path / "a.nii.gz"), tmp_path, "q_{slice}.png")
    assert names == tuple(f"q_{index:04d}.png" for index in range(5))
    volume = voxels_of("q").astype(float) - 300
    for index, name in enumerate(names):
        expected = np.clip((volume[index] + 991) / 1491 * 255, 0, 255)
        np.testing.assert_allclose(
            read_image(tmp_path / name).voxels[0, ..., 0], expected, atol=0.51
        )
