from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from medprism.core.errors import ImageReadError
from medprism.core.image import Image
from medprism.project import shelf as shelf_module
from medprism.project.masks import Accepting
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf


def test_the_first_reading_notes_what_is_there(project: Project) -> None:
    ImageShelf(project).get(5)
    record = project.images.get(5)
    assert (record.slices, record.height, record.width) == (5, 88, 124)
    assert record.spacing == pytest.approx((4.0, 0.9, 0.8))
    assert record.is_physical and record.is_rgb is False


def test_images_are_read_once_and_the_oldest_let_go(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real = shelf_module.read_image

    def note(path: object, part: str | None = None) -> Image:
        reads.append(str(path)[-5:])
        return real(str(path), part)

    monkeypatch.setattr(shelf_module, "read_image", note)
    shelf = ImageShelf(project, budget_bytes=2 * 88 * 124)
    threads = [threading.Thread(target=shelf.get, args=(1,)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert reads == ["0.png"]
    for number in (2, 3, 3, 2):
        shelf.get(number)
    assert reads == ["0.png", "1.png", "2.png"]
    assert shelf.num_bytes == 2 * 88 * 124
    shelf.get(1)
    shelf.forget(1)
    shelf.get(1)
    assert reads[3:] == ["0.png", "0.png"]


def test_a_broken_image_says_why_and_comes_back_when_it_is_mended(project: Project) -> None:
    path = project.root / "0.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    shelf = ImageShelf(project)
    with pytest.raises(ImageReadError) as refused:
        shelf.get(1)
    record = project.images.get(1)
    assert record.state == "broken"
    assert record.reason == str(refused.value)
    # The place on this machine is nobody's business.
    assert str(project.root) not in record.reason
    path.write_bytes(whole)
    shelf.get(1)
    assert (project.images.get(1).state, project.images.get(1).reason) == ("new", None)


def test_a_file_that_changed_under_accepted_masks_is_refused(project: Project) -> None:
    image = ImageShelf(project).get(1)
    label = project.labels.ensure("liver")
    assert cv2.imwrite(str(project.root / "1.png"), np.zeros((30, 40), np.uint8))
    assert ImageShelf(project).get(2).shape == (30, 40)
    project.masks.accept(1, image, [Accepting(label, np.ones(image.shape, bool))], "Ada")
    assert cv2.imwrite(str(project.root / "0.png"), np.zeros((30, 40), np.uint8))
    with pytest.raises(ImageReadError, match="has changed since"):
        ImageShelf(project).get(1)


def test_an_image_over_the_limit_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "LARGEST_BYTES", 100)
    with pytest.raises(ImageReadError, match="crop or shrink"):
        ImageShelf(project).get(1)
