from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.io.mask_export import Algorithm
from medprism.io.palette import colour
from medprism.io.reader import read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, SERIES, SHAPE, series
from tests.io.phantoms import holed, image_on, orientations, oriented, world_points

PICTURE = Image.from_array(np.zeros(SHAPE[1:], np.uint8))


def slices_by_pycocotools(path: Path, name: str) -> np.ndarray:
    """Decode a label of every slice with the official tools."""
    coco = COCO(path)
    (category,) = coco.getCatIds(catNms=[name])
    planes = []
    for image_id in sorted(coco.getImgIds(), key=lambda one: coco.imgs[one].get("slice", 0)):
        entry = coco.imgs[image_id]
        plane = np.zeros((entry["height"], entry["width"]), bool)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id], catIds=[category])):
            plane |= coco.annToMask(annotation) == 1
        planes.append(plane)
    return np.stack(planes)


# pycocotools decodes into arrays of an older numpy.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_sees_pixels_boxes_areas_and_categories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = series(tmp_path)
    path = tmp_path / "m.json"
    write_mask(path, LABELS, image, colours={"Tümor": (3, 4, 5)}, algorithm=Algorithm("a", "7"))
    for name, plane in LABELS:
        np.testing.assert_array_equal(slices_by_pycocotools(path, name), plane)
    coco = COCO(path)
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == ["left lung", "Tümor"]
    assert [one["color"] for one in coco.loadCats([1, 2])] == [list(colour(1)), [3, 4, 5]]
    assert coco.dataset["info"]["description"] == "a 7"
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        rows, cols = np.nonzero(mask)
        left, top, width, height = annotation["bbox"]
        assert annotation["area"] == mask.sum() == len(rows)
        assert (left, top) == (cols.min(), rows.min())
        assert (left + width, top + height) == (cols.max() + 1, rows.max() + 1)
        assert annotation["iscrowd"] == 0
    ids = coco.getAnnIds()
    assert len(set(ids)) == len(ids) == len(coco.dataset["annotations"])
    assert {entry["file_name"] for entry in coco.dataset["images"]} == {"axial"}


@pytest.mark.parametrize("kind", SERIES)
def test_overlapping_labels_come_back_on_the_grid_of_any_series(tmp_path: Path, kind: str) -> None:
    image = series(tmp_path, kind)
    path = tmp_path / "m.json"
    assert set(write_mask(path, LABELS, image).dropped.values()) == {0}
    for like in (image, None):
        found = read_mask(path, like)
        assert found.geometry.matches(image.geometry, 1e-9)
        for name, plane in LABELS:
            np.testing.assert_array_equal(found.to_labels()[name], plane)


@pytest.mark.parametrize(("order", "signs"), list(orientations())[::5])
def test_every_labelled_voxel_keeps_its_place(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[float, ...]
) -> None:
    geometry = oriented(order, signs, turn=0.4, shear=0.3, shape=SHAPE)
    write_mask(tmp_path / "m.json", LABELS, image_on(geometry))
    found = read_mask(tmp_path / "m.json")
    for name, plane in LABELS:
        np.testing.assert_allclose(
            world_points(found.to_labels()[name], found.geometry),
            world_points(plane, geometry),
            atol=1e-9,
        )


def test_a_picture_is_one_entry_without_a_slice(tmp_path: Path) -> None:
    planes = Labels({name: plane[2] for name, plane in holed()})
    write_mask(tmp_path / "m.json", planes, PICTURE.replace(source=Path("eye.png")))
    (entry,) = json.loads((tmp_path / "m.json").read_text())["images"]
    assert entry == {"id": 1, "file_name": "eye.png", "width": 31, "height": 23}
    found = read_mask(tmp_path / "m.json", PICTURE)
    assert not found.geometry.is_physical
    for name, plane in planes:
        np.testing.assert_array_equal(found.to_labels()[name], plane)


def test_a_label_without_a_pixel_is_a_category(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.json", Labels({"cyst": np.zeros(SHAPE[1:], bool)}), PICTURE)
    found = read_mask(tmp_path / "m.json", PICTURE)
    assert dict(found.names) == {1: "cyst"}
    assert not found.array.any()
