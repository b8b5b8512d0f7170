from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from medprism.io.segment_code import _ABNORMAL, _ANATOMY, segment_code


@pytest.mark.parametrize("name", [*_ANATOMY, *_ABNORMAL])
def test_every_name_has_a_code_of_snomed_ct(name: str) -> None:
    category, kind = segment_code(name)
    assert kind.scheme_designator == category.scheme_designator == "SCT"
    assert kind.value.isdecimal()
    is_healthy = name in _ANATOMY
    assert (category == codes.SCT.AnatomicalStructure) == is_healthy


def test_sides_case_and_dashes_do_not_matter_and_a_lesion_is_no_organ() -> None:
    assert segment_code("LEFT_Kidney") == segment_code("kidney")
    assert segment_code("left atrium")[1] == codes.SCT.LeftAtrium
    assert segment_code("liver-lesion")[1] == codes.SCT.Lesion
    assert segment_code("") == segment_code("hook") == (codes.SCT.Tissue, codes.SCT.Tissue)
