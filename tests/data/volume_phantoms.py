"""Volumes with a bright and a dark structure, drawn as chiral solids; folders of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from medprism.core.randomness import counter_rng
from medprism.data.case import DatasetInfo
from medprism.data.volumes import LabelledVolume, VolumeSet

SHAPE = (30, 40, 34)
CLASSES = {1: "bright hook", 2: "dark bar"}


def draw_volume(number: int, shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Return intensities and labels: a bright solid of three unequal arms and a dark bar."""
    rng = counter_rng(number, "volume phantom")
    image = rng.normal(0, 0.25, shape).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    half = shape[2] // 2
    left = bool(rng.integers(2))
    for label, side in ((1, left), (2, not left)):
        start = [int(rng.integers(2, n - 14)) for n in shape[:2]]
        start.append(int(rng.integers(1, half - 12)) + (half if side else 0))
        a, b, c = start
        if label == 1:
            labels[a : a + 12, b : b + 5, c : c + 5] = 1
            labels[a : a + 5, b : b + 9, c : c + 5] = 1
            labels[a : a + 5, b : b + 5, c : c + 11] = 1
        else:
            labels[a : a + 6, b : b + 11, c : c + 7] = 2
    image[labels == 1] += 2.0
    image[labels == 2] -= 2.0
    return image, labels


def phantom_set(count: int = 6, name: str = "phantoms", spacing: float = 1.0) -> VolumeSet:
    """Return volumes of as many patients; the last two are of val and test."""
    info = DatasetInfo(name, name, "train", "MR", CLASSES)
    volumes = []
    for number in range(count):
        image, labels = draw_volume(number)
        split = {count - 1: "test", count - 2: "val"}.get(number, "train")
        standard = (image - image.mean()) / image.std()
        volumes.append(LabelledVolume(f"case{number}", f"patient{number}", split, standard, labels))
    return VolumeSet(info, spacing, tuple(volumes))


def write_phantom_set(
    folder: Path,
    count: int = 6,
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    first: int = 0,
) -> Path:
    """Write a dataset folder of NIfTI volumes; every other one is stored upside down."""
    (folder / "volumes").mkdir(parents=True)
    split: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number in range(count):
        image, labels = draw_volume(first + number)
        case = f"case{first + number}"
        # Array axes of the phantom are (slice, row, col) towards S, P and L.
        affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
        for kind, array in (("img", image * 40 + 300), ("seg", labels)):
            stored = np.ascontiguousarray(array.transpose(2, 1, 0))
            placed = affine.copy()
            if number % 2:
                stored = stored[:, :, ::-1]
                placed[:3, 3] += placed[:3, 2] * (stored.shape[2] - 1)
                placed[:3, 2] *= -1
            nib.save(
                nib.Nifti1Image(stored.astype(np.int16), placed),
                folder / "volumes" / f"{case}_{kind}.nii.gz",
            )
        name = {count - 1: "test", count - 2: "val"}.get(number, "train")
        split[name].append(case)
    described = {
        "slug": folder.name,
        "modality": "MRI",
        "classes": {str(number): name for number, name in CLASSES.items()},
        "split": split,
        "patients": {f"case{first + n}": f"patient{first + n}" for n in range(count)},
        "licence": "none",
        "redistributable": "yes",
    }
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    return folder
