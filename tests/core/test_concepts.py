from __future__ import annotations

import json

import pytest

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import LabelError

TABLE = ConceptTable(
    (
        Concept("left-atrium", ("LA", "atrium sinistrum"), {"acdc": (3,)}),
        Concept("lung", ("lungs",), {"chest": (1, 2), "covid": (4,)}),
        Concept("polyp", (), {}),
    )
)


@pytest.mark.parametrize(
    "name", ["left-atrium", "Left Atrium", "left_atrium", " la ", "LEFT  ATRIUM"]
)
def test_case_dashes_and_spaces_do_not_matter(name: str) -> None:
    assert TABLE.row(name) == 0


def test_synonyms_lead_to_the_same_row() -> None:
    assert TABLE.row("lungs") == TABLE.row("lung") == 1
    assert TABLE[1].label_ids["chest"] == (1, 2)


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(LabelError, match="unknown class 'polip'; did you mean polyp"):
        TABLE.row("polip")
    with pytest.raises(LabelError, match="did you mean lung") as caught:
        TABLE.row("lungz")
    assert str(caught.value).count("lung") == 2


def test_a_name_near_nothing_lists_what_is_known() -> None:
    with pytest.raises(LabelError, match="known: left-atrium, lung, polyp"):
        TABLE.row("zzzzzzzz")


def test_one_name_for_two_concepts_is_refused() -> None:
    with pytest.raises(LabelError, match="'LUNG' names both 'lung' and 'thorax'"):
        ConceptTable((Concept("lung"), Concept("thorax", ("LUNG",))))


def test_the_table_survives_json() -> None:
    back = ConceptTable.from_json(json.loads(json.dumps(TABLE.to_json())))
    assert back.concepts == TABLE.concepts
    assert back.names == ("left-atrium", "lung", "polyp")
    assert len(back) == 3
