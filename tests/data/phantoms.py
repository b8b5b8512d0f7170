"""Small labelled datasets on disk: chiral shapes on shaded, non-square pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from jaxtyping import Bool, UInt8

from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore

REAL_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def real_folder(slug: str) -> Path:
    """Return a real 2-D set beside the checkout, or skip."""
    folder = REAL_DATA / "2d" / slug
    if not folder.is_dir():
        pytest.skip(f"the real images are not beside the checkout ({slug})")
    return folder


def comma(
    shape: tuple[int, int], top: int, left: int, size: int
) -> Bool[np.ndarray, "height width"]:
    """Return a chiral L: a tall bar with a short foot to the right."""
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + max(1, size // 3)] = True
    mask[top + size - max(1, size // 4) : top + size, left : left + size] = True
    return mask


def picture(
    shape: tuple[int, int], mask: Bool[np.ndarray, "height width"], seed: int, channels: int = 1
) -> UInt8[np.ndarray, "..."]:
    """Return a shaded picture on which the mask is bright."""
    rng = counter_rng(seed, "picture")
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    shade = 40 + 50 * rows / shape[0] + 30 * cols / shape[1] + rng.normal(0, 4, shape)
    values = np.clip(shade + 90 * mask, 0, 255).astype(np.uint8)
    if channels == 1:
        return values
    return np.stack([values, values // 2, 255 - values], -1)


def write_case(folder: Path, stem: str, image: np.ndarray, labels: np.ndarray) -> None:
    """Write one picture and its label ids."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    stored = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    assert cv2.imwrite(str(folder / "images" / f"{stem}.png"), stored)
    assert cv2.imwrite(str(folder / "masks" / f"{stem}.png"), labels.astype(np.uint8))


def write_dataset(
    folder: Path,
    *,
    num_patients: int = 4,
    slices: int = 3,
    shape: tuple[int, int] = (60, 44),
    channels: int = 1,
    role: str = "train",
    split: dict[str, list[str]] | None = None,
    redistributable: str = "yes",
) -> list[str]:
    """Write a set of `num_patients` volumes; label 1 is always there, 2 on every other slice.

    Returns the case names. Without `split` the first patient is for testing, the rest trains.
    """
    cases: list[str] = []
    patients: dict[str, str] = {}
    for patient in range(num_patients):
        for number in range(slices):
            stem = f"p{patient}_z{number * 4:03d}"
            seed = patient * 100 + number
            first = comma(shape, 6 + patient, 5 + number, 21)
            second = comma(shape, 36, 24, 11) & (number % 2 == 0)
            labels = first * 1 + second * 2
            write_case(folder, stem, picture(shape, first, seed, channels), labels)
            cases.append(stem)
            patients[stem] = f"p{patient}"
    default = {
        "test": [c for c in cases if c.startswith("p0")],
        "train": [c for c in cases if not c.startswith("p0")],
    }
    description = {
        "name": "Phantoms",
        "slug": folder.name,
        "role": role,
        "modality": "MRI (made up)",
        "classes": {"1": "big comma", "2": "small comma"},
        "patients": patients,
        "split": split or default,
        "licence": "CC0",
        "redistributable": redistributable,
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return cases


def write_volume(
    image: Path,
    mask: Path,
    seed: int,
    affine: np.ndarray | None = None,
    *,
    shape: tuple[int, int, int] = (6, 40, 28),
    is_labelled: bool = True,
) -> None:
    """Write a volume and its mask; label 1 is on all slices but the first and last, 9 on the third.

    Without `is_labelled` the mask is empty.
    """
    slices, height, width = shape
    plane = (height, width)
    labels = np.zeros(shape, np.uint8)
    if is_labelled:
        for index in range(1, slices - 1):
            labels[index][comma(plane, 4 + index % 8, 3, 18)] = 1
        labels[3][comma(plane, 30, 20, 7)] = 9
    shaded = np.stack([picture(plane, one > 0, seed + 7 * k) for k, one in enumerate(labels)])
    voxels = shaded.astype(np.float32) * np.float32(11.5)
    spacing = np.diag([0.7, 0.9, 2.5, 1.0]) if affine is None else affine
    for path, array in ((image, voxels), (mask, labels)):
        path.parent.mkdir(parents=True, exist_ok=True)
        turned = np.ascontiguousarray(array.transpose(2, 1, 0))
        nibabel.save(nibabel.Nifti1Image(turned, spacing), path)


def write_volumes(folder: Path, names: Sequence[str], empty: Collection[str] = ()) -> None:
    """Write a dataset of volumes; those in `empty` have no label at all. The first is for testing.

    Of 6 slices, 4 have a label.
    """
    for number, name in enumerate(names):
        pair = [folder / "volumes" / f"{name}_{kind}.nii.gz" for kind in ("img", "seg")]
        write_volume(pair[0], pair[1], 100 * number, is_labelled=name not in empty)
    description = {
        "slug": folder.name,
        "role": "train",
        "modality": "MR",
        "classes": {"1": "big comma", "9": "small comma"},
        "patients": {name: f"patient {name}" for name in names},
        "split": {"test": list(names[:1]), "train": list(names[1:])},
        "redistributable": "yes",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def damage(path: Path) -> None:
    """Cut a file short, so that no reader takes it."""
    path.write_bytes(path.read_bytes()[:40])


def settle(folder: Path) -> None:
    """Make all files an hour old, as files are that were not written just now."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 3_600_000_000_000))


def stored_cases(out: Path) -> list[tuple[str, int, bytes]]:
    """Return name, offset and pixels of every case of a store."""
    store = SliceStore.open(out)
    return [
        (row.case_id, row.offset, store.image(number).tobytes())
        for number, row in enumerate(store.rows)
    ]


def store_files(out: Path) -> dict[str, bytes]:
    """Return the files of a store that do not depend on when its sources were written."""
    return {
        path.name: path.read_bytes()
        for path in sorted(out.iterdir())
        if path.is_file() and not path.name.endswith(".sources.json")
    }
