"""COCO: pictures in `images/`, a JSON document a split in `annotations/`.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import GeometryError, ImageReadError, LabelError
from medprism.core.image import Image
from medprism.data.case import SPLITS
from medprism.data.layouts.collection import (
    ASIDE,
    ChannelFile,
    Collection,
    Item,
    describe,
    inside,
    must_exist,
    read_document,
    with_aside,
)
from medprism.data.layouts.image_file import suffix_of
from medprism.data.layouts.plan import ImageTarget, ItemPlan, Plan
from medprism.io.contour import fill
from medprism.io.mask_file import Colour, MaskFile, is_colour
from medprism.io.run_length import column_runs, compress, expand, from_runs

Mask2d = Bool[np.ndarray, "height width"]
_Kind = TypeVar("_Kind")

# Formats that programs for COCO show.
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".bmp")
_PLACES: Final = ("images", "", "train", "val", "test", "train2017", "val2017")


def recognises(folder: Path) -> bool:
    """Say whether a JSON document with images and annotations is there."""
    return bool(_documents_in(folder))


def read(folder: Path) -> Collection:
    """Read the pictures that documents list; one without annotations shows no label.

    The split is that of the document's name (train, val, test). Annotations of a class are united.

    Raises:
        ImageReadError: a picture that is listed is missing, or lies outside of the folder.
        LabelError: a document is damaged, or documents contradict one another.
    """
    items: list[Item] = []
    classes: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    documents = _documents_in(folder)
    found = Collection(layout="coco", items=(), classes={}, documents=tuple(documents))
    for path, document in documents.items():
        _add_categories(path, document, classes, colours)
        items.extend(_items(folder, path, document, classes, colours))
        info = document.get("info")
        if isinstance(info, dict):
            said = describe(info, (), name="description")
            found = replace(found, items=tuple(items), description=said)
            found = with_aside(found, info, path)
            items = list(found.items)
    cases = [item.case_id for item in items]
    if len(set(cases)) < len(cases) or not cases:
        what = next((c for c in cases if cases.count(c) > 1), None)
        raise LabelError(
            f"{folder}: {'no picture is listed' if what is None else f'{what!r} is listed twice'}; "
            "mend the documents"
        )
    return replace(
        found,
        items=tuple(sorted(items, key=lambda item: item.case_id)),
        classes=dict(sorted(classes.items())),
        colours=colours,
    )


def plan(collection: Collection) -> Plan:
    """Lay out pictures as they are, volumes as 8-bit slices; labels may overlap."""
    volumes = [item for item in collection.items if not _is_picture(item)]
    items = tuple(
        ItemPlan(item, (_target(item, is_volume=item in volumes),), None, {})
        for item in collection.items
    )
    lost: list[str] = []
    if volumes:
        lost.append(
            f"position, orientation and spacing (the affine) of {len(volumes)} volumes, which "
            "became single slices"
        )
        lost.append("intensities of volumes beyond 8 bit, by the intensity rule of the image")
    channels = sum(len(item.channels) > 1 for item in collection.items)
    if channels:
        lost.append(f"channels after the first of {channels} cases; COCO has one picture a case")
    bare = len(collection.items) - len(collection.labelled)
    if bare:
        lost.append(f"that {bare} images are unlabelled; in COCO they show no label")
    return Plan(
        items,
        lambda folder: _documents(collection, folder, {item.case_id for item in volumes}),
        collection.classes,
        tuple(lost),
        tuple(key for key in collection.aside() if key not in ("colours", "split")),
    )


def _is_picture(item: Item) -> bool:
    only = item.channels[0]
    return only.part is None and suffix_of(only.path) in _PICTURES


def _target(item: Item, *, is_volume: bool) -> ImageTarget:
    if is_volume:
        # A brace in a name is not a place for the number.
        return ImageTarget(f"images/{item.case_id}_z{{slice}}.png", (0,), slices=True)
    return ImageTarget(f"images/{item.case_id}{suffix_of(item.channels[0].path)}", (0,))


def _documents(collection: Collection, folder: Path, volumes: set[str]) -> dict[str, bytes]:
    sides = {item.split for item in collection.items}
    aside = collection.aside()
    aside.pop("colours", None)
    aside.pop("split", None)
    categories = []
    for number, name in collection.classes.items():
        category: dict[str, Any] = {"id": number, "name": name, "supercategory": ""}
        colour = collection.colours.get(number)
        categories.append(category | ({} if colour is None else {"color": list(colour)}))
    found: dict[str, bytes] = {}
    for side in sorted(sides, key=str):
        entries = _Entries([], [])
        for item in collection.items:
            if item.split == side:
                _add_case(entries, item, item.case_id in volumes)
        description = collection.description
        info: dict[str, Any] = {"description": description.name or description.slug or folder.name}
        if aside:
            info[ASIDE] = aside
        licence = description.licence
        document = {
            "info": info,
            "licenses": [] if licence is None else [{"id": 1, "name": licence}],
            "images": entries.images,
            "annotations": entries.annotations,
            "categories": categories,
        }
        name = f"annotations/instances_{side or 'all'}.json"
        found[name] = json.dumps(document).encode()
    return found


@dataclass(frozen=True)
class _Entries:
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]


def _add_case(entries: _Entries, item: Item, is_volume: bool) -> None:
    image = item.channels[0].read()
    mask = item.read_mask(image)
    planes: dict[int, np.ndarray] = {}
    if mask is not None:
        numbers = {*np.unique(mask.array[mask.array > 0]).tolist(), *mask.covered}
        for number in sorted(numbers):
            plane = np.asarray(mask.covered.get(number, mask.array == number))
            planes[number] = plane.reshape(image.geometry.shape)
    suffix = suffix_of(item.channels[0].path)
    for index in range(image.num_slices):
        _, height, width = image.geometry.shape
        stem = f"{item.case_id}_z{index:04d}.png" if is_volume else f"{item.case_id}{suffix}"
        entry: dict[str, Any] = {"id": len(entries.images) + 1, "file_name": stem}
        entries.images.append(entry | {"width": width, "height": height})
        for number, plane in planes.items():
            if plane[index].any():
                entries.annotations.append(
                    _annotation(plane[index], number, entry["id"], len(entries.annotations) + 1)
                )


def _annotation(plane: Mask2d, number: int, image_id: int, own_id: int) -> dict[str, Any]:
    rows, cols = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    top, left = int(rows[0]), int(cols[0])
    return {
        "id": own_id,
        "image_id": image_id,
        "category_id": number,
        "segmentation": {"size": list(plane.shape), "counts": compress(column_runs(plane))},
        "area": int(plane.sum()),
        "bbox": [left, top, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": 0,
    }


def _documents_in(folder: Path) -> dict[Path, dict[str, Any]]:
    places = (folder / "annotations", folder)
    found: dict[Path, dict[str, Any]] = {}
    for path in sorted(path for place in places for path in place.glob("*.json")):
        try:
            document = read_document(path)
        except LabelError:
            # A JSON file of something else decides nothing here.
            continue
        if isinstance(document.get("images"), list) and isinstance(
            document.get("annotations"), list
        ):
            found[path] = document
    return found


def _items(
    folder: Path,
    path: Path,
    document: Mapping[str, Any],
    classes: Mapping[int, str],
    colours: Mapping[int, Colour],
) -> list[Item]:
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        image_id = _get(annotation, "image_id", int, path)
        if _get(annotation, "category_id", int, path) not in classes:
            raise LabelError(
                f"{path}: category {annotation['category_id']} is not among the categories; name it"
            )
        by_image.setdefault(image_id, []).append(annotation)
    words = re.split(r"[^a-z]+", path.stem.casefold())
    split = next((side for side in SPLITS if side in words), None)
    items: list[Item] = []
    for entry in document["images"]:
        name = _get(entry, "file_name", str, path)
        size = (_get(entry, "height", int, path), _get(entry, "width", int, path))
        annotations = tuple(by_image.get(_get(entry, "id", int, path), ()))
        items.append(
            Item(
                case_id=name.removesuffix(suffix_of(name)).replace("/", "_"),
                channels=(ChannelFile(_picture(folder, name, path)),),
                mask=CocoMask(path, size, annotations, classes, colours),
                split=split,
            )
        )
    return items


@dataclass(frozen=True)
class CocoMask:
    """The annotations of one picture; drawn when they are asked for."""

    document: Path
    size: tuple[int, int]
    annotations: tuple[dict[str, Any], ...]
    classes: Mapping[int, str]
    colours: Mapping[int, Colour]

    def __call__(self, image: Image) -> MaskFile:
        """Draw the planes; annotations of a class are united.

        Raises:
            GeometryError: the document says another size than the picture has.
            ImageReadError: an annotation is damaged.
        """
        if image.shape != self.size:
            raise GeometryError(
                f"{self.document} says {self.size} for {image.source}, which has {image.shape}; "
                "export the annotations again"
            )
        planes: dict[int, Mask2d] = {}
        for annotation in self.annotations:
            number = annotation["category_id"]
            pixels = _pixels(annotation, self.size, self.document)
            planes[number] = planes[number] | pixels if number in planes else pixels
        return MaskFile.from_planes(planes, image.geometry, self.classes, self.colours)


def _pixels(annotation: Mapping[str, Any], size: tuple[int, int], path: Path) -> Mask2d:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        found = np.zeros(size, bool)
        for numbers in segmentation:
            found |= _polygon(numbers, size, path)
        return found
    counts = segmentation.get("counts") if isinstance(segmentation, dict) else None
    runs = expand(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list):
        raise ImageReadError(f"{path}: annotation {annotation.get('id')} has no segmentation")
    return from_runs(runs, *size)


def _polygon(numbers: object, size: tuple[int, int], path: Path) -> Mask2d:
    try:
        points = np.array(numbers, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros((0, 2))
    if len(points) < 3 or not np.isfinite(points).all():
        raise ImageReadError(f"{path}: a polygon is not a list of x and y of three points or more")
    # x and y, where 0.5 is the centre of the first pixel.
    return fill([np.ascontiguousarray(points[:, ::-1]) - 0.5], *size)


def _picture(folder: Path, name: str, path: Path) -> Path:
    for place in _PLACES:
        candidate = inside(folder, f"{place}/{name}" if place else name, path)
        if candidate.is_file():
            return candidate
    return must_exist(inside(folder, f"images/{name}", path), path)


def _add_categories(
    path: Path,
    document: Mapping[str, Any],
    classes: dict[int, str],
    colours: dict[int, Colour],
) -> None:
    listed: Sequence[Any] = document.get("categories") or []
    for entry in listed:
        number, name = _get(entry, "id", int, path), _get(entry, "name", str, path)
        if not 0 < number <= 65535:
            raise LabelError(f"{path}: category {number} must be a number 1 to 65535; renumber it")
        if classes.setdefault(number, name) != name:
            raise LabelError(
                f"{path} names category {number} {name!r}, another document {classes[number]!r}"
            )
        colour = entry.get("color")
        if isinstance(colour, list) and is_colour(tuple(colour)):
            colours[number] = (colour[0], colour[1], colour[2])


def _get(entry: object, key: str, kind: type[_Kind], path: Path) -> _Kind:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise LabelError(f"{path}: an entry has {key} {value!r:.40}, no {kind.__name__}; mend it")
    return value
