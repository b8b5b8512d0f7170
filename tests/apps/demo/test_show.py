from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from medprism.apps.demo.brain import CLASSES, TISSUE
from medprism.apps.demo.pictures import SCENES
from medprism.apps.demo.row import FLOORS
from medprism.apps.demo.samples import picture_of
from medprism.io.reader import read_image, read_mask
from tests.apps.demo.conftest import Shown


def test_an_untrained_model_fails_the_floor_and_the_demo_says_so(shown: Shown) -> None:
    assert shown.status == 1
    for line in shown.err.splitlines():
        assert re.fullmatch(r"brain MRI, .*: Dice 0\.\d\d is below the floor of 0\.\d+", line)
    assert shown.err


def test_the_table_has_every_kind_of_knowledge_and_says_where_to_look(shown: Shown) -> None:
    for text in (
        *FLOORS,
        "class + click",
        "reference + click",
        TISSUE,
        *CLASSES,
        str(shown.folder),
    ):
        assert text in shown.out.replace("\n", " ")
    for scene in SCENES:
        assert scene.what in shown.out
        assert (shown.folder / f"{scene.name}-by-clicks.png").exists()


def test_every_mask_has_a_picture_and_lies_on_its_images_grid(shown: Shown) -> None:
    masks = sorted(shown.folder.glob("*-mask.*"))
    assert (
        len(masks)
        == len(list(shown.folder.glob("*.png")))
        - len([path for path in masks if path.suffix == ".png"])
        - 1
    )
    for mask in masks:
        name = mask.name.split("-by-")[0]
        image = read_image(
            shown.folder / "brain.nii.gz" if name.startswith("brain") else _source(name)
        )
        assert read_mask(mask, like=image).array.shape == image.shape


def _source(name: str) -> Path:
    (scene,) = [scene for scene in SCENES if scene.name == name]
    return picture_of(scene.package, *scene.parts)


def test_the_three_kinds_stand_side_by_side(shown: Shown) -> None:
    brain = read_image(shown.folder / "brain.nii.gz")
    panels = read_image(shown.folder / "three-modes.png").voxels[0]
    width = 2 * brain.shape[2]
    assert panels.shape[1] >= 3 * width
    # Each panel shows a brain: not all white, not all black.
    for start in range(3):
        part = panels[:, start * width : (start + 1) * width]
        assert 20 < part.mean() < 235
        assert len(np.unique(part)) > 50
