import re

import pytest

from medprism.data.datasets.series import DEFAULT_RULE, RULES, locate_slices
from tests.data.phantoms import REAL_DATA, real_folder


def test_both_frames_of_an_acdc_patient_share_one_scale() -> None:
    names = [
        "patient001_frame01_z001",
        "patient001_frame01_z005",
        "patient001_frame12_z009",
        "patient002_frame01_z003",
    ]
    found = locate_slices("acdc_cardiac_mri", names)
    assert [found[name].relative_position for name in names] == [0.0, 0.5, 1.0, None]
    assert [found[name].slice_index for name in names] == [1, 5, 9, 3]


def test_views_of_the_brain_set_have_their_own_scale() -> None:
    names = ["c1ax_z010", "c2ax_z020", "c3ax_z030", "c1co_z100", "c1co_z200", "c2co_z300"]
    found = locate_slices("miccai2012_oasis_brain_mri", names)
    assert [found[name].view for name in names] == ["ax"] * 3 + ["co"] * 3
    assert [found[name].relative_position for name in names] == [0.0, 0.5, 1.0, 0.0, 0.5, 1.0]


def test_names_without_a_slice_number_have_no_position() -> None:
    found = locate_slices("fundus", ["IMD002", "a_b_c", "x_z"])
    assert all(place.relative_position is None for place in found.values())
    assert all(place.slice_index is None for place in found.values())


def test_a_volume_of_equal_numbers_has_no_scale() -> None:
    found = locate_slices("any", ["a_z003", "a_z03", "a_z3"])
    assert [place.relative_position for place in found.values()] == [None, None, None]


@pytest.mark.parametrize("slug", sorted(RULES))
def test_every_rule_names_volume_and_slice(slug: str) -> None:
    groups = set(re.compile(RULES[slug].pattern).groupindex)
    assert {"volume", "slice"} <= groups <= {"volume", "slice", "view"}


@pytest.mark.realdata
@pytest.mark.parametrize("slug", sorted(RULES))
def test_every_rule_fits_all_real_names_of_its_set(slug: str) -> None:
    stems = [path.stem for path in sorted((real_folder(slug) / "images").iterdir())]
    found = locate_slices(slug, stems)
    assert all(place.slice_index is not None for place in found.values())
    known = [p.relative_position for p in found.values() if p.relative_position is not None]
    assert len(known) > 0.25 * len(stems)
    assert min(known) == 0.0
    assert max(known) == 1.0


@pytest.mark.realdata
def test_volume_scales_belong_to_one_patient() -> None:
    import json

    for slug, rule in {**RULES, "la2018_left_atrium_mri": DEFAULT_RULE}.items():
        if rule.scope != "volume":
            continue
        real_folder(slug)
        patients = json.loads((REAL_DATA / "2d" / slug / "dataset.json").read_text())["patients"]
        volumes: dict[str, set[str]] = {}
        for case, patient in patients.items():
            match = re.fullmatch(rule.pattern, case)
            assert match, (slug, case)
            volumes.setdefault(match["volume"], set()).add(patient)
        assert all(len(owners) == 1 for owners in volumes.values()), slug
