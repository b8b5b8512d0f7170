"""COCO JSON, written: a picture, or the slices of a volume, one annotation a label and slice.

A volume is as many entries of `images` as it has slices, with its name and `slice`. Segmentations
are compressed run-length codes, which hold holes and pieces exactly. The grid in mm, which COCO
does not know, is kept under `medprism`; programs for COCO ignore it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from medprism.core.image import PlaneStack
from medprism.io.mask_export import MaskExport
from medprism.io.run_length import column_runs, compress

FORMAT: Final = "medprism-coco"
VERSION: Final = 1


def write_coco(path: Path, export: MaskExport) -> None:
    """Write labels as categories, with their colours, and their pixels; overlaps are kept."""
    image = export.image
    annotations: list[dict[str, Any]] = []
    categories = []
    for number, name, planes in export.planes():
        red, green, blue = export.colours[number]
        categories.append(
            {"id": number, "name": name, "supercategory": "", "color": [red, green, blue]}
        )
        annotations.extend(_annotations(planes, number, len(annotations)))
    document = {
        "info": {
            "description": f"{export.algorithm.name} {export.algorithm.version}",
            "medprism": {
                "format": FORMAT,
                "version": VERSION,
                "affine": image.geometry.affine.tolist(),
                "is_physical": image.geometry.is_physical,
            },
        },
        "licenses": [],
        "images": _images(export),
        "annotations": annotations,
        "categories": categories,
    }
    path.write_text(json.dumps(document, ensure_ascii=True), encoding="ascii")


def _images(export: MaskExport) -> list[dict[str, Any]]:
    image = export.image
    count, height, width = image.geometry.shape
    source = None if export.deidentify is not None else image.source
    name = "image" if source is None else source.name
    entries: list[dict[str, Any]] = []
    for index in range(count):
        entry: dict[str, Any] = {"id": index + 1, "file_name": name}
        entry |= {"width": width, "height": height}
        if not image.is_planar:
            entry["slice"] = index
        entries.append(entry)
    return entries


def _annotations(planes: PlaneStack, number: int, before: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for index, plane in enumerate(planes):
        if not plane.any():
            continue
        rows, cols = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
        top, left = int(rows[0]), int(cols[0])
        found.append(
            {
                "id": before + len(found) + 1,
                "image_id": index + 1,
                "category_id": number,
                "segmentation": {
                    "size": list(plane.shape),
                    "counts": compress(column_runs(plane)),
                },
                "area": int(plane.sum()),
                "bbox": [left, top, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1],
                "iscrowd": 0,
            }
        )
    return found
