"""Read COCO JSON as a mask: the annotations of one picture, or of the slices of one volume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import FormatVersionError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.coco import FORMAT, VERSION
from medprism.io.contour import fill
from medprism.io.mask_file import Colour, MaskFile, is_colour
from medprism.io.run_length import expand, from_runs

Entry: TypeAlias = dict[str, Any]
_Kind = TypeVar("_Kind")

_LISTED: Final = 8
# More voxels than this are damage, or a bomb.
_MOST_VOXELS: Final = 1 << 29
_LONGEST_SIDE: Final = 1 << 20


def read_coco(path: Path, part: str | None = None, like: Image | None = None) -> MaskFile:
    """Read run-length codes (plain or compressed) and polygons.

    Args:
        path: the JSON file.
        part: the `file_name` of the picture, where the file holds several and `like` was not read
            from one of them.
        like: the image that the mask belongs to.

    Raises:
        ImageReadError: no COCO file, damaged, or several pictures and none is chosen.
        FormatVersionError: a newer medprism wrote it.
    """
    document = _document(path)
    named = part if part is not None or like is None else _name_in(document, like)
    images = _choose(_list(document, "images"), named)
    geometry = _geometry(document, images)
    names, colours = _categories(_list(document, "categories"))
    slices = {_get(entry, "id", int): index for index, entry in enumerate(images)}
    planes: dict[int, Bool[np.ndarray, "slices height width"]] = {}
    for annotation in _list(document, "annotations"):
        index = slices.get(_get(annotation, "image_id", int))
        if index is None:
            continue
        number = _get(annotation, "category_id", int)
        if not 0 < number < 2**32:
            raise ImageReadError(f"its category {number} must be a number above 0; renumber it")
        if number not in planes:
            planes[number] = np.zeros(geometry.shape, bool)
        planes[number][index] |= _pixels(annotation, geometry.shape[1], geometry.shape[2])
    return MaskFile.from_planes(planes, geometry, names, colours)


def _document(path: Path) -> Entry:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImageReadError(
            f"cannot be read as JSON ({error}); it may be truncated or damaged, export it again"
        ) from error
    if not isinstance(document, dict) or not {"images", "annotations"} <= set(document):
        raise ImageReadError("it is JSON but no COCO file (no images and annotations)")
    return document


def _choose(images: Sequence[Entry], name: str | None) -> list[Entry]:
    """Return the entries of one picture, or of the slices of one volume in order."""
    by_name: dict[str, list[Entry]] = {}
    for entry in images:
        by_name.setdefault(_get(entry, "file_name", str), []).append(entry)
    if name is None and len(by_name) == 1:
        name = next(iter(by_name))
    if name is None or name not in by_name:
        listed = ", ".join(list(by_name)[:_LISTED]) or "none"
        raise ImageReadError(
            f"it is about {len(by_name)} images and one is needed; choose it by name with part=: "
            f"{listed}"
        )
    chosen = sorted(by_name[name], key=lambda entry: _get(entry, "slice", int, 0))
    if [_get(entry, "slice", int, 0) for entry in chosen] != list(range(len(chosen))):
        raise ImageReadError(
            f"its {len(chosen)} entries for {name} are not the slices 0 to {len(chosen) - 1}; "
            "number them in `slice`, or give every picture a name of its own"
        )
    return chosen


def _name_in(document: Entry, like: Image) -> str | None:
    names = {entry.get("file_name") for entry in _list(document, "images")}
    source = like.source
    candidates = [] if source is None else [source.name, source.as_posix(), str(source)]
    return next((name for name in candidates if name in names), None)


def _geometry(document: Entry, images: Sequence[Entry]) -> Geometry:
    sizes = {(_get(entry, "height", int), _get(entry, "width", int)) for entry in images}
    height, width = next(iter(sizes))
    is_possible = min(height, width) > 0 and max(height, width) < _LONGEST_SIDE
    if len(sizes) > 1 or not is_possible or len(images) * height * width > _MOST_VOXELS:
        raise ImageReadError(
            f"its {len(images)} slices are of {len(sizes)} sizes ({height} x {width} pixels); "
            f"slices of one size with at most {_MOST_VOXELS} pixels can be read"
        )
    shape = (len(images), height, width)
    info = document.get("info")
    own = info.get("medprism") if isinstance(info, dict) else None
    if not isinstance(own, dict) or own.get("format") != FORMAT:
        return Geometry.pixels(shape)
    version = own.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise FormatVersionError(
            f"it has {FORMAT} version {version!r}, this program reads up to {VERSION}; update "
            "medprism"
        )
    try:
        affine = np.array(own.get("affine"), np.float64)
    except (TypeError, ValueError, OverflowError):
        affine = np.zeros(0)
    if affine.shape != (4, 4) or not isinstance(own.get("is_physical"), bool):
        raise ImageReadError("its grid under `medprism` is damaged; write the mask again")
    return Geometry(shape, affine, own["is_physical"])


def _categories(entries: Sequence[Entry]) -> tuple[dict[int, str], dict[int, Colour]]:
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for entry in entries:
        number = _get(entry, "id", int)
        names[number] = _get(entry, "name", str)
        colour = entry.get("color")
        if isinstance(colour, list) and is_colour(tuple(colour)):
            colours[number] = (colour[0], colour[1], colour[2])
    return names, colours


def _pixels(annotation: Entry, height: int, width: int) -> Bool[np.ndarray, "height width"]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        return _polygons(segmentation, height, width)
    if not isinstance(segmentation, dict):
        raise ImageReadError("one of its annotations has no segmentation; export it again")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise ImageReadError(
            f"one of its masks has the size {size!r} and its picture {[height, width]}; export it "
            "again"
        )
    runs = expand(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list):
        raise ImageReadError("one of its masks has no run lengths; export it again")
    return from_runs(runs, height, width)


def _polygons(listed: list[Any], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Fill x, y, x, y, ... where 0.5 is the centre of the first pixel; polygons are united."""
    found = np.zeros((height, width), bool)
    for numbers in listed:
        try:
            points = np.array(numbers, np.float64).reshape(-1, 2)
        except (TypeError, ValueError, OverflowError):
            points = np.zeros((0, 2))
        if len(points) < 3 or not np.isfinite(points).all():
            raise ImageReadError(
                "one of its polygons is not a list of x and y of three points or more; export it "
                "again"
            )
        found |= fill([np.ascontiguousarray(points[:, ::-1]) - 0.5], height, width)
    return found


def _list(document: Entry, key: str) -> list[Entry]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ImageReadError(f"its {key} is no list of entries; export it again")
    return found


def _get(entry: Entry, key: str, kind: type[_Kind], default: _Kind | None = None) -> _Kind:
    value = entry.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ImageReadError(
            f"an entry has {key} {value!r:.40}, which is no {kind.__name__}; export it again"
        )
    return value
