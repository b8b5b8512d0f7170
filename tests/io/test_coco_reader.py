from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from medprism.core.errors import FormatVersionError, GeometryError, ImageReadError
from medprism.core.image import Image
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, SHAPE
from tests.io.mutation import check_mask, mutations
from tests.io.phantoms import image_on, oriented

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
MASK = LABELS["left lung"][1]


def foreign(**changes: object) -> dict[str, Any]:
    """Return a COCO file of somebody else: two pictures, all three kinds of segmentation."""
    runs = coco_mask.encode(np.asfortranarray(MASK.view(np.uint8)))
    flat = [0, *np.flatnonzero(np.diff(MASK.T.ravel().astype(int))) + 1, MASK.size]
    document = {
        "images": [
            {"id": 70, "file_name": "a.png", "height": 23, "width": 31},
            {"id": 9, "file_name": "b.png", "height": 23, "width": 31},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 9,
                "category_id": 4,
                "segmentation": {"size": [23, 31], "counts": runs["counts"].decode()},
            },
            {
                "id": 2,
                "image_id": 70,
                "category_id": 4,
                "segmentation": {"size": [23, 31], "counts": [int(n) for n in np.diff(flat)]},
            },
            {
                "id": 3,
                "image_id": 70,
                "category_id": 2,
                "segmentation": [[5.0, 3.0, 12.0, 3.0, 12.0, 8.0, 5.0, 8.0]],
            },
        ],
        "categories": [{"id": 4, "name": "lung"}, {"id": 2, "name": "box"}],
    }
    return document | changes


def save(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_a_file_of_somebody_else_is_read_by_name_or_by_image(tmp_path: Path) -> None:
    path = save(tmp_path / "all.json", foreign())
    with pytest.raises(ImageReadError, match="about 2 images .*choose it by name .*: a.png, b.png"):
        read_mask(path)
    first = read_mask(path, part="a.png").to_labels()
    np.testing.assert_array_equal(first["lung"], MASK)
    expected = np.zeros(MASK.shape, bool)
    expected[3:8, 5:12] = True
    np.testing.assert_array_equal(first["box"], expected)
    image = Image.from_array(np.zeros(MASK.shape, np.uint8)).replace(source=Path("x/b.png"))
    second = read_mask(path, image)
    np.testing.assert_array_equal(second.to_labels()["lung"], MASK)
    assert (second.array > 0).sum() == MASK.sum()


# pycocotools decodes into arrays of an older numpy.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_slanted_polygons_are_those_of_pycocotools_but_for_the_rim(tmp_path: Path) -> None:
    corners = [3.2, 2.1, 28.4, 6.9, 22.7, 20.3, 8.8, 17.4]
    annotation = {"id": 1, "image_id": 9, "category_id": 4, "segmentation": [corners]}
    path = save(tmp_path / "a.json", foreign(annotations=[annotation]))
    found = read_mask(path, part="b.png").array > 0
    (theirs,) = coco_mask.frPyObjects([corners], 23, 31)
    expected = coco_mask.decode(theirs) == 1
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.95


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": {}}, "its images is no list of entries"),
        ({"images": []}, "about 0 images"),
        ({"images": [{"id": 9, "file_name": "a", "height": 0, "width": 31}]}, "0 x 31 pixels"),
        ({"images": [{"id": 9, "file_name": "a", "height": 90000, "width": 90000}]}, "at most"),
        ({"images": [{"id": "x", "file_name": "a", "height": 23, "width": 31}]}, "id 'x'"),
        ({"images": [{"id": 9, "height": 23, "width": 31}]}, "file_name None, which is no str"),
        ({"images": [{"id": 9, "file_name": "a", "height": 23, "width": 31}] * 2}, "slices 0 to 1"),
        ({"annotations": [{"image_id": 9, "category_id": 0}]}, "category 0 must be a number above"),
        ({"annotations": [{"image_id": 9, "category_id": 1}]}, "has no segmentation"),
        ({"categories": [{"id": 1}]}, "name None, which is no str"),
    ],
)
def test_damaged_files_are_one_sentence(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    document = foreign(**changes)
    if "images" not in changes:
        document["images"] = document["images"][1:]
    with pytest.raises(ImageReadError, match=reason):
        read_mask(save(tmp_path / "a.json", document))


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [31, 23], "counts": "1"}, "has the size .31, 23. and its picture .23, 31."),
        ({"size": [23, 31], "counts": None}, "no run lengths"),
        ({"size": [23, 31], "counts": [3]}, "do not add up"),
        ({"size": [23, 31], "counts": "X"}, "ends within a number"),
        ([[1.0, 2.0, 3.0]], "x and y of three points"),
        ([[1.0, 2.0, 3.0, 4.0]], "x and y of three points"),
        ([["a", 2.0, 3.0, 4.0, 1.0, 1.0]], "x and y of three points"),
    ],
)
def test_damaged_segmentations_are_one_sentence(
    tmp_path: Path, segmentation: object, reason: str
) -> None:
    annotation = {"image_id": 9, "category_id": 4, "segmentation": segmentation}
    path = save(tmp_path / "a.json", foreign(annotations=[annotation]))
    with pytest.raises(ImageReadError, match=reason):
        read_mask(path, part="b.png")


def test_other_json_and_images_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="JSON but no COCO file"):
        read_mask(save(tmp_path / "a.json", {"format": "x"}))
    with pytest.raises(ImageReadError, match="it is a COCO file, which holds masks"):
        read_image(save(tmp_path / "a.json", foreign()))
    (tmp_path / "b.json").write_text('{"images": [')
    with pytest.raises(ImageReadError, match="cannot be read as JSON"):
        read_mask(tmp_path / "b.json")


def test_our_own_grid_is_compared_and_a_newer_version_refused(tmp_path: Path) -> None:
    image = image_on(oriented((0, 1, 2), (1.0, 1.0, 1.0), shape=SHAPE))
    path = tmp_path / "m.json"
    write_mask(path, LABELS, image)
    other = image_on(oriented((0, 1, 2), (1.0, 1.0, -1.0), shape=SHAPE))
    with pytest.raises(GeometryError, match="resample the mask onto the image"):
        read_mask(path, other)
    document = json.loads(path.read_text())
    for grid, reason in [
        ({"affine": [[1.0]]}, "its grid under `medprism` is damaged"),
        ({"affine": [["a"] * 4] * 4}, "its grid under `medprism` is damaged"),
        ({"is_physical": 1}, "its grid under `medprism` is damaged"),
    ]:
        changed = json.loads(json.dumps(document))
        changed["info"]["medprism"] |= grid
        with pytest.raises(ImageReadError, match=reason):
            read_mask(save(tmp_path / "a.json", changed))
    document["info"]["medprism"]["version"] = 2
    with pytest.raises(FormatVersionError, match="version 2, this program reads up to 1"):
        read_mask(save(path, document))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("coco") / "m.json"
    write_mask(path, LABELS, image_on(oriented((0, 1, 2), (1.0, 1.0, 1.0), shape=SHAPE)))
    other = foreign()
    other["images"] = other["images"][:1]
    return [path.read_bytes(), json.dumps(other).encode()]


@settings(max_examples=30, deadline=None, suppress_health_check=QUIET)
@given(st.integers(0, 1), mutations())
def test_changed_bytes_are_a_mask_or_one_sentence(
    tmp_path: Path, samples: list[bytes], which: int, mutation: list[tuple[float, int]]
) -> None:
    check_mask(tmp_path / "m.json", samples[which], mutation, None)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=QUIET)
@given(st.integers(0, 1), mutations())
def test_many_changed_bytes_are_a_mask_or_one_sentence(
    tmp_path: Path, samples: list[bytes], which: int, mutation: list[tuple[float, int]]
) -> None:
    check_mask(tmp_path / "m.json", samples[which], mutation, None)
