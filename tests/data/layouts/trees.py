"""A small dataset in every layout: chiral volumes and pictures; one patient has two cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import nibabel
import numpy as np

from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import LabelMap
from medprism.data.layouts.catalog import LAYOUTS, recognise_layout
from medprism.data.layouts.collection import Collection
from medprism.data.layouts.conversion import with_classes
from medprism.io.writer import write_mask
from tests.data.phantoms import comma, picture

AFFINE = np.array([[0, 0.9, 0.1, -20], [1.1, 0, 0, 5], [0, -0.2, 2.5, 9], [0, 0, 0, 1.0]])
SHAPE = (5, 30, 22)
CASES = {"p-1_a": "p 1", "p-1_b": "p 1", "p2_a": "p2", "q": "q"}
CLASSES = {1: "liver", 4: "kidney, left"}
COLOURS = {1: (200, 30, 40), 4: (10, 250, 90)}
SPLIT = {"train": ["p-1_a", "p-1_b"], "val": ["q"], "test": ["p2_a"]}


def numbers_of(case: str) -> np.ndarray:
    """Return the label numbers of a case."""
    shift = list(CASES).index(case)
    numbers = np.zeros(SHAPE, np.uint8)
    for index in range(1, 4):
        numbers[index][comma(SHAPE[1:], 2 + index + shift, 3, 12)] = 1
        numbers[index][comma(SHAPE[1:], 18, 9 + index, 7)] = 4
    return numbers


def voxels_of(case: str, seed: int = 0) -> np.ndarray:
    """Return signed intensities of a case."""
    shift = list(CASES).index(case)
    planes = [picture(SHAPE[1:], plane > 0, shift + 10 * seed) for plane in numbers_of(case)]
    return np.stack(planes).astype(np.int16) * 7 - 700


def save_nifti(path: Path, array: np.ndarray) -> None:
    """Write (slices, rows, cols[, channels]) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turned = np.ascontiguousarray(np.swapaxes(array, 0, 2))
    nibabel.save(nibabel.Nifti1Image(turned, AFFINE), path)


def write_plain_volumes(folder: Path, *, described: bool = True) -> None:
    """Write volumes with NIfTI masks."""
    for case in CASES:
        save_nifti(folder / "images" / f"{case}.nii.gz", voxels_of(case))
        save_nifti(folder / "masks" / f"{case}.nii.gz", numbers_of(case))
    if described:
        document = {
            "slug": "phantoms",
            "name": "Phantom volumes",
            "modality": "CT",
            "classes": {str(number): name for number, name in CLASSES.items()},
            "patients": CASES,
            "split": SPLIT,
            "licence": "CC0",
            "redistributable": "yes",
            "citation": "nobody, 2026",
            "notes": "made up",
            "medprism": {"colours": {str(n): list(colour) for n, colour in COLOURS.items()}},
        }
        (folder / "dataset.json").write_text(json.dumps(document))


def write_plain_pictures(folder: Path, suffix: str = ".png") -> None:
    """Write colour pictures with indexed masks that carry names and colours; no dataset.json."""
    for case in CASES:
        numbers = numbers_of(case).max(axis=0)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        colour = picture(SHAPE[1:], numbers > 0, len(case), channels=3)
        assert cv2.imwrite(str(folder / "images" / f"{case}{suffix}"), colour[..., ::-1])
        like = Image(colour[None], Geometry.pixels((1, *SHAPE[1:])), is_planar=True)
        write_mask(
            folder / "masks" / f"{case}.png",
            LabelMap(numbers, CLASSES, {}),
            like,
            colours={CLASSES[number]: colour for number, colour in COLOURS.items()},
        )


def write_nnunet(folder: Path, *, channels: int = 2) -> None:
    """Write nnU-Net v2 raw with two channels and a test image."""
    for case in CASES:
        for channel in range(channels):
            path = folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz"
            save_nifti(path, voxels_of(case, channel))
        numbers = numbers_of(case)
        save_nifti(folder / "labelsTr" / f"{case}.nii.gz", np.where(numbers == 4, 2, numbers))
    for channel in range(channels):
        save_nifti(folder / "imagesTs" / f"t_{channel:04d}.nii.gz", voxels_of("q", channel))
    document = {
        "channel_names": {str(n): name for n, name in enumerate(("T1w", "T2w")[:channels])},
        "labels": {"background": 0, "liver": 1, "kidney, left": 2},
        "numTraining": len(CASES),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(document))


def open_layout(folder: Path) -> Collection:
    """Recognise and read a folder, with classes."""
    return with_classes(LAYOUTS[recognise_layout(folder)].read(folder))


def named_planes(collection: Collection) -> dict[str, Mapping[str, np.ndarray]]:
    """Return case -> class name -> plane, whatever the numbers are."""
    found: dict[str, Mapping[str, np.ndarray]] = {}
    for item in collection.labelled:
        mask = item.read_mask(item.channels[0].read())
        assert mask is not None
        present = {*np.unique(mask.array[mask.array > 0]).tolist(), *mask.covered}
        found[item.case_id] = {
            collection.classes[n]: np.asarray(mask.covered.get(n, mask.array == n)) for n in present
        }
    return found
