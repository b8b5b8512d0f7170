from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import ProjectError
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf
from medprism.project.uploads import Upload, add_uploads
from tests.io.dicom_scene import series

LIMIT = 2**20


def _png(value: int = 7) -> bytes:
    done, content = cv2.imencode(".png", np.full((20, 31), value, np.uint8))
    assert done
    return content.tobytes()


def _upload(name: str, content: bytes) -> Upload:
    return Upload(name, io.BytesIO(content))


def test_pictures_are_added_and_found_again(project: Project) -> None:
    files = [_upload("../../scan one.png", _png()), _upload("0.png", _png(9))]
    report = add_uploads(project, files, LIMIT)
    assert [one.name for one in report.added] == ["0.png (2)", "scan_one.png"]
    assert all(one.is_uploaded for one in report.added)
    image = ImageShelf(project).get(report.added[1].id)
    assert image.voxels[0, 3, 4, 0] == 7
    assert project.uploads in project.images.path_of(report.added[0]).parents
    # A scan of the folder does not find them a second time.
    assert project.scan() == []


def test_equal_names_do_not_meet(project: Project) -> None:
    twice = [_upload("a.png", _png(1)), _upload("a.png", _png(2))]
    report = add_uploads(project, twice, LIMIT)
    shelf = ImageShelf(project)
    values = {int(shelf.get(one.id).voxels[0, 0, 0, 0]) for one in report.added}
    assert values == {1, 2}


def test_dicom_files_become_a_series(project: Project, tmp_path: Path) -> None:
    whole = series(tmp_path)
    paths = sorted((tmp_path / "axial").iterdir())
    files = [_upload(path.name, path.read_bytes()) for path in paths]
    (added,) = add_uploads(project, files, LIMIT).added
    assert added.name.startswith("series")
    assert np.array_equal(ImageShelf(project).get(added.id).voxels, whole.voxels)


def test_what_is_no_image_or_too_large_is_refused_and_the_rest_is_added(project: Project) -> None:
    files = [
        _upload("notes.txt", b"hello there"),
        _upload("good.png", _png()),
        _upload("large.png", _png() + bytes(LIMIT)),
        _upload("empty.png", b""),
        _upload("...", _png()),
    ]
    report = add_uploads(project, files, LIMIT)
    assert [one.name for one in report.added] == ["good.png"]
    refused = dict(report.refused)
    assert set(refused) == {"notes.txt", "large.png", "empty.png", "..."}
    assert "larger than 1 MiB" in refused["large.png"]
    assert "empty" in refused["empty.png"]
    left = [path.name for path in project.uploads.rglob("*") if path.is_file()]
    assert left == ["good.png"]


def test_nothing_left_leaves_no_folder(project: Project) -> None:
    assert add_uploads(project, [_upload("a.txt", b"hello")], LIMIT).added == ()
    assert list(project.uploads.iterdir()) == []


def test_an_upload_that_breaks_off_is_an_error(project: Project) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ProjectError("the line went dead")

    report = add_uploads(project, [Upload("a.png", Broken())], LIMIT)
    assert report.refused == (("a.png", "the line went dead"),)
    with pytest.raises(ValueError, match="closed"):
        closed = io.BytesIO()
        closed.close()
        add_uploads(project, [Upload("a.png", closed)], LIMIT)
