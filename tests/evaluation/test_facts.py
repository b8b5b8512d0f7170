from __future__ import annotations

import json
from dataclasses import replace

import pytest

from medprism.data.store import SliceStore
from medprism.evaluation.facts import PICTURES, UNKNOWN_PATIENTS, facts_of, role_of
from tests.data.phantoms import REAL_DATA
from tests.evaluation.phantoms import changed


def test_unknown_patients_count_case_by_case(scenes: SliceStore) -> None:
    known = facts_of(scenes, "outside", "test", [1, 2])
    assert (known.num_images, known.num_examined, known.num_patients) == (4, 2, 2)
    assert known.knows_patients
    unknown = changed(scenes, f={"patient": None})
    facts = facts_of(unknown, "scenes", "test", [])
    assert (facts.num_patients, facts.knows_patients) == (3, False)


def test_a_modality_code_wins_over_the_sort_of_picture(scenes: SliceStore) -> None:
    assert facts_of(scenes, "scenes", "test", []).kind == "CT"


@pytest.mark.parametrize(
    ("dataset", "role", "concept", "expected"),
    [
        ("covid_cxr", "external", "lung", "external"),
        ("covid_cxr", "external", "airways", "unseen"),
        ("mt_panther_pancreas_mri", "unseen", "pancreas", "external"),
        ("mt_panther_pancreas_mri", "unseen", "pancreatic tumour", "unseen"),
        ("kvasir_seg", "train", "polyp", "train"),
        ("my own set", "unseen", "polyp", "unseen"),
    ],
)
def test_the_role_is_that_of_the_concept(
    scenes: SliceStore, dataset: str, role: str, concept: str, expected: str
) -> None:
    row = replace(scenes.rows[0], dataset=dataset, role=role)
    assert role_of(row, concept) == expected


@pytest.mark.realdata
def test_the_literal_tables_say_what_the_sets_say() -> None:
    folder = REAL_DATA / "2d"
    if not folder.is_dir():
        pytest.skip("the real images are not beside the checkout")
    described = {p.parent.name: json.loads(p.read_text()) for p in folder.glob("*/dataset.json")}
    blocks = {
        n for n, d in described.items() if "patient unknown" in d["split_note"].split(",")[-1]
    }
    assert blocks == UNKNOWN_PATIENTS
    coded = ("CT", "MRI", "ultrasound", "X-ray", "mammography")
    assert {n for n, d in described.items() if not d["modality"].startswith(coded)} == set(PICTURES)
