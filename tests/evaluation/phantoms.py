"""Stores of small scenes whose structures the fake segmenter knows by their brightness."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from medprism.core.concepts import Concept, ConceptTable
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.slice_row import SliceRow
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from tests.data.phantoms import write_case
from tests.inference.fake_segmenter import FakeSegmenter, fake_model
from tests.inference.phantom import SHAPE, scene, volume

IDS = {"liver": 1, "left kidney": 2, "polyp": 3}


def write_scenes(
    folder: Path,
    *,
    cases: dict[str, list[str]],
    role: str = "train",
    images_per_patient: int = 1,
    without: tuple[str, str] | None = None,
) -> Path:
    """Write a set with the given cases per split; `without` = (case, structure) hides one."""
    patients: dict[str, str] = {}
    for number, stem in enumerate(name for names in cases.values() for name in names):
        image, masks = scene(number, shift=number % 5)
        labels = np.zeros(SHAPE, np.uint8)
        for name, label_id in IDS.items():
            if without == (stem, name):
                image = np.where(masks[name], 40, image).astype(np.uint8)
            else:
                labels[masks[name]] = label_id
        write_case(folder, stem, image, labels)
        patients[stem] = f"patient{number // images_per_patient}"
    description = {
        "slug": folder.name,
        "role": role,
        "modality": "CT",
        "classes": {str(label_id): name for name, label_id in IDS.items()},
        "patients": patients,
        "split": cases,
        "licence": "CC0",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def make_store(root: Path, *folders: Path) -> SliceStore:
    """Prepare a store from set folders."""
    prepare(folders, root / "store", PrepareConfig(long_side=384))
    return SliceStore.open(root / "store")


def make_volumes(root: Path) -> SliceStore:
    """Prepare "volumes", one a patient: v0 (4 slices) for testing, v1 (3) and v2 (6) to train."""
    names = {
        "test": [f"v0_z{index:03d}" for index in range(4)],
        "train": [f"v{v}_z{3 * i:03d}" for v, count in ((1, 3), (2, 6)) for i in range(count)],
    }
    store = make_store(root, write_scenes(root / "volumes", cases=names))
    return changed(store, **{row.case_id: {"patient": row.case_id[:2]} for row in store.rows})


def concept_table(*trained: str) -> ConceptTable:
    """Return the fake model's classes, labelled exhaustively in the `trained` sets."""
    named = [
        Concept(name, ("hepar",) if name == "liver" else (), dict.fromkeys(trained, (label_id,)))
        for name, label_id in IDS.items()
    ]
    return ConceptTable((*named, Concept("nothing")))


def scene_model(*trained: str, segmenter: FakeSegmenter | None = None) -> LoadedModel:
    """Return the fake model with a class table for these sets."""
    return replace(fake_model(segmenter), concepts=concept_table(*trained))


def changed(store: SliceStore, **changes: dict[str, object]) -> SliceStore:
    """Return the store with fields of cases replaced (not "outside"): case=dict(field=value)."""
    rows: list[SliceRow] = []
    for row in store.rows:
        fields = changes.get(row.case_id, {})
        rows.append(replace(row, **fields) if row.dataset != "outside" else row)  # type: ignore[arg-type]
    return SliceStore(store.path, store.infos, tuple(rows), store._maps)


def write_scans(folder: Path, *, spacing: tuple[float, float, float] = (4.0, 1.5, 0.5)) -> Path:
    """Write a set of four volumes of two patients, 4 to 7 slices of `spacing` (slice, row, col).

    a (test) and b (train) are of one patient, c and d (train) of another. The kidney is missing in
    c, and on the last slice of all.
    """
    (folder / "volumes").mkdir(parents=True)
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    for place, name in enumerate("abcd"):
        image, masks = volume(4 + place)
        labels = np.zeros(image.shape, np.uint8)
        for structure, label_id in IDS.items():
            labels[masks[structure]] = label_id
        gone = labels == IDS["left kidney"]
        gone[: 0 if name == "c" else -1] = False
        image, labels = np.where(gone, 40, image).astype(np.uint8), np.where(gone, 0, labels)
        for side, array in (("img", image), ("seg", labels.astype(np.uint8))):
            turned = np.ascontiguousarray(array.transpose(2, 1, 0))
            path = folder / "volumes" / f"{name}_{side}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(turned, affine), path)
    description = {
        "slug": folder.name,
        "modality": "MR",
        "classes": {str(label_id): name for name, label_id in IDS.items()},
        "patients": {"a": "p", "b": "p", "c": "q", "d": "q"},
        "split": {"test": ["a"], "train": ["b", "c", "d"]},
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder
