from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest

from medprism.apps.demo import samples
from medprism.apps.demo.pictures import SCENES
from medprism.apps.demo.samples import picture_of, write_brain
from medprism.core.errors import ConfigError
from medprism.io.reader import read_image


def test_every_scene_is_inside_an_installed_package_and_holds_its_clicks() -> None:
    for scene in SCENES:
        image = read_image(picture_of(scene.package, *scene.parts))
        height, width = image.shape
        correction = () if scene.correction is None else (scene.correction,)
        for row, col, _ in (*scene.clicks, *correction):
            assert 0 <= row < height and 0 <= col < width


def test_tissues_lie_inside_the_brain_and_do_not_overlap(tmp_path: Path) -> None:
    brain = write_brain(tmp_path / "brain.nii.gz")
    image = read_image(brain.path)
    assert image.voxels.dtype == np.uint8
    assert image.geometry.spacing == pytest.approx((4.0, 1.0, 1.0))
    # Rows run to the back and columns to the left: the nose points up.
    assert image.geometry.orientation == "SPL"
    white, grey = brain.truth["white matter"], brain.truth["grey matter"]
    assert white.shape == grey.shape == image.shape
    assert not (white & grey).any()
    values = image.voxels[..., 0]
    # White matter is brighter than grey matter on a T1 picture, and both than the outside.
    outside = values[~white & ~grey].mean()
    assert values[white].mean() > values[grey].mean() > outside
    assert all(plane.sum() > 500 for plane in (*white, *grey))


@pytest.mark.parametrize("parts", [("data", "brain.jpg"), ("data",)])
def test_a_picture_that_is_not_there_is_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'medprism\[demo\]'"):
        picture_of("skimage", *parts)


def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert util.find_spec("no_such_package_at_all") is None
    with pytest.raises(ConfigError, match="of the package no_such_package_at_all"):
        picture_of("no_such_package_at_all", "a.png")
    monkeypatch.setattr(samples, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="needs the package nilearn"):
        write_brain(tmp_path / "brain.nii.gz")
    assert not list(tmp_path.iterdir())
