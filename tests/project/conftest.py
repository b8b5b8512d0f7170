"""A folder of small pictures, and projects on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from medprism.inference.memory import Memory
from medprism.project.annotating import Desk
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

PICTURES = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with four pictures and a volume."""
    root = tmp_path / "images"
    (root / "ct").mkdir(parents=True)
    for number in range(PICTURES):
        image = scene(number, shift=4 * number)[0]
        assert cv2.imwrite(str(root / f"{number}.png"), image)
    stack = np.ascontiguousarray(volume()[0].transpose(2, 1, 0))
    nib.save(nib.Nifti1Image(stack, np.diag([0.8, 0.9, 4.0, 1.0])), root / "ct" / "scan.nii.gz")
    return root


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    """Return the project of the folder, its images added."""
    opened = Project(folder)
    opened.scan()
    yield opened
    opened.close()


@pytest.fixture
def desk(project: Project) -> Desk:
    """Return a desk with a model of brightness."""
    return Desk(project, fake_model(), ImageShelf(project), Memory.of(64 * 2**20))


@pytest.fixture
def reopen() -> Callable[[Project], Project]:
    """Return what closes a project and opens it again, as a new server does."""

    def again(project: Project) -> Project:
        project.close()
        return Project(project.root)

    return again
