"""What a reader must know about a set before its figures mean anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from medprism.data.slice_row import SliceRow
from medprism.data.store import SliceStore
from medprism.data.vocabulary import known_datasets, unseen_concepts

UNKNOWN_PATIENTS: Final = frozenset(
    {
        "busi_mini",
        "mt_avt_aorta_ct",
        "mt_brisc2025_mri",
        "mt_chest_ct_lung_heart",
        "mt_cpaisd_stroke_ct",
        "mt_hocm_heart_ct",
        "mt_knee_bones",
        "mt_pulmonary_vessels_ct",
    }
)
"""Shared sets that were split by contiguous blocks of images since patients are unknown."""

OTHER: Final = "other pictures"

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "fundus photograph": (
        "chase_db1",
        "drishti_gs",
        "drive",
        "fives_vessel",
        "hrf_vessel",
        "idrid_hardex",
        "idrid_od",
        "rop_ridge",
        "smdg_glaucoma",
    ),
    "OCT angiogram": ("faz_octa",),
    "endoscopy": (
        "colondb_polyp",
        "edd2020",
        "endoscene_polyp",
        "etis_polyp",
        "kvasir_seg",
        "vocalfolds",
    ),
    "skin photograph": ("fuseg", "ph2"),
    "histology": ("ebhi_crc", "glomeruli", "nuinsseg_oeso", "prostate_gland", "tnbc"),
    "light microscopy of cells": ("dsb2018", "krd_wbc", "wbc1", "wbc2"),
    "electron microscopy": ("isbi_em",),
}
PICTURES: Final[Mapping[str, str]] = {
    dataset: kind for kind, datasets in _KINDS.items() for dataset in datasets
}
"""Shared set -> sort of picture, where no modality code says it."""


@dataclass(frozen=True)
class DatasetFacts:
    """What a reader must know about a set: its size in the split, and how it was made.

    `kind` is the modality code, or what sort of picture it is ("fundus photograph", ...).
    `num_images` counts the whole split, `num_examined` those that were evaluated. Patients that
    are unknown count image by image; `knows_patients` is False where the split itself could not
    keep them apart.
    """

    dataset: str
    title: str
    role: str
    split: str
    kind: str
    num_images: int
    num_examined: int
    num_patients: int
    knows_patients: bool


def role_of(row: SliceRow, concept: str) -> str:
    """Return the role of a concept on a slice, as `role_in` a set does."""
    return role_in(row.dataset, row.role, concept)


def role_in(dataset: str, role: str, concept: str) -> str:
    """Return the role of a concept in a set of a role.

    It is the set's, except that shared sets mix: of a set that is never trained on, structures
    that no training set has are "unseen", the others "external".
    """
    if role == "train" or dataset not in known_datasets():
        return role
    return "unseen" if concept in unseen_concepts().names else "external"


def facts_of(store: SliceStore, dataset: str, split: str, examined: Iterable[int]) -> DatasetFacts:
    """Return the facts of a set in a store."""
    info = store.info(dataset)
    rows = [row for row in store.rows if row.dataset == dataset and row.split == split]
    patients = {row.patient or row.case_id for row in rows}
    return DatasetFacts(
        dataset=dataset,
        title=info.title,
        role=info.role,
        split=split,
        kind=info.modality or PICTURES.get(dataset, OTHER),
        num_images=len(rows),
        num_examined=len(tuple(examined)),
        num_patients=len(patients),
        knows_patients=dataset not in UNKNOWN_PATIENTS and all(row.patient for row in rows),
    )
