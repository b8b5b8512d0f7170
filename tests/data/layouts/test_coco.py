from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.mask import decode

from medprism.core.errors import GeometryError, ImageReadError, LabelError, MedprismError
from medprism.data.layouts.coco import read
from medprism.data.layouts.conversion import convert
from tests.data.layouts.trees import named_planes, open_layout, write_plain_pictures


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_plain_pictures(folder / "source")
    convert(folder / "source", folder / "coco", "coco")
    return folder / "coco"


def _copy(template: Path, folder: Path, change: dict[str, Any] | None = None) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for path in (template / "images").iterdir():
        (folder / "images" / path.name).hardlink_to(path)
    document = json.loads((template / "annotations/instances_all.json").read_text())
    path = folder / "annotations/instances_val.json"
    path.write_text(json.dumps({**document, **(change or {})}))
    return folder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_annotations_are_what_pycocotools_would_read(template: Path) -> None:
    document = json.loads((template / "annotations/instances_all.json").read_text())
    planes = named_planes(open_layout(template))
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    stems = {entry["id"]: entry["file_name"].removesuffix(".png") for entry in document["images"]}
    for annotation in document["annotations"]:
        plane = planes[stems[annotation["image_id"]]][names[annotation["category_id"]]]
        rows, cols = np.nonzero(plane)
        assert annotation["area"] == rows.size
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (cols.min(), rows.min())
        assert (width, height) == (np.ptp(cols) + 1, np.ptp(rows) + 1)
        np.testing.assert_array_equal(decode(annotation["segmentation"]), plane)


def test_the_name_of_the_document_is_the_split(template: Path, tmp_path: Path) -> None:
    found = read(_copy(template, tmp_path / "a"))
    assert {item.split for item in found.items} == {"val"}
    assert {item.split for item in read(template).items} == {None}


def test_polygons_and_pieces_of_a_class_are_united(template: Path, tmp_path: Path) -> None:
    squares = [
        [2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0],
        [10.0, 9.0, 12.0, 9.0, 12.0, 13.0, 10.0, 13.0],
    ]
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "segmentation": [square]}
        for n, square in enumerate(squares)
    ]
    found = read(_copy(template, tmp_path / "a", {"annotations": annotations}))
    item = found.items[0]
    mask = item.read_mask(item.channels[0].read())
    assert mask is not None
    expected = np.zeros(mask.array.shape, bool)
    expected[2:6, 2:6] = True
    expected[9:13, 10:12] = True
    np.testing.assert_array_equal(mask.array == 1, expected)
    assert all(i.read_mask(i.channels[0].read()) is not None for i in found.items)


def _image(**changes: object) -> dict[str, Any]:
    return {"id": 1, "file_name": "q.png", "width": 22, "height": 30, **changes}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"images": [_image(file_name="../../x.png")]}, ImageReadError, "lies outside"),
        ({"images": [_image(file_name="no.png")]}, ImageReadError, "which is not there"),
        ({"images": [_image(file_name=7)]}, LabelError, "file_name 7, no str"),
        ({"images": [_image(), _image()]}, LabelError, "'q' is listed twice"),
        ({"images": []}, LabelError, "no picture is listed"),
        ({"categories": [{"id": 0, "name": "x"}]}, LabelError, "must be a number 1 to 65535"),
        ({"categories": []}, LabelError, "is not among the categories"),
        ({"annotations": ["x"]}, LabelError, "image_id None, no int"),
    ],
)
def test_a_damaged_document_is_one_sentence(
    template: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], said: str
) -> None:
    folder = _copy(template, tmp_path / "a", change)
    with pytest.raises(error, match=said) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_a_picture_of_another_size_than_its_annotations_is_refused(
    template: Path, tmp_path: Path
) -> None:
    found = read(_copy(template, tmp_path / "a", {"images": [_image(width=23)]}))
    (item,) = found.items
    with pytest.raises(GeometryError, match=r"says \(30, 23\)"):
        item.read_mask(item.channels[0].read())


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 40),
    st.text(max_size=5),
    st.floats(allow_nan=True),
    st.lists(st.integers(-2, 40), max_size=6),
)
SEGMENTATIONS = st.one_of(
    VALUES,
    st.lists(VALUES, max_size=2),
    st.fixed_dictionaries({"size": VALUES, "counts": VALUES}),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(segmentation=SEGMENTATIONS, category=VALUES, image=VALUES)
def test_any_annotation_is_drawn_or_refused_in_one_sentence(
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    segmentation: object,
    category: object,
    image: object,
) -> None:
    annotation = {"id": 1, "image_id": image, "category_id": category, "segmentation": segmentation}
    folder = _copy(template, tmp_path_factory.mktemp("fuzz") / "a", {"annotations": [annotation]})
    try:
        for item in read(folder).items:
            item.read_mask(item.channels[0].read())
    except MedprismError as error:
        assert "\n" not in str(error)
