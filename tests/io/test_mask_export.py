from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import GeometryError, LabelError
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.io.mask_export import Algorithm, palette_of, prepare_export
from medprism.io.palette import PALETTE, colour

PLANES = {"a": np.array([[True, True, False]]), "b": np.array([[False, True, False]])}
PICTURE = Image.from_array(np.zeros((1, 3), np.uint8))
VOLUME = Image.from_array(np.zeros((2, 1, 3, 3), np.uint8))


def test_planes_stay_whole_and_the_map_is_merged_by_priority() -> None:
    export = prepare_export(Labels(PLANES), PICTURE, priority=("a",))
    assert export.stack.tolist() == [[[1, 1, 0]]]
    assert [(n, name) for n, name, _ in export.planes()] == [(1, "a"), (2, "b")]
    for _, name, plane in export.planes():
        np.testing.assert_array_equal(plane, PLANES[name][None])


def test_an_integer_map_gives_its_planes_by_ascending_number() -> None:
    array = np.array([[[0, 9, 4]], [[9, 9, 0]]], np.uint8)
    export = prepare_export(LabelMap(array, {9: "b", 4: "a", 200: "nowhere"}, {}), VOLUME)
    found = [(number, name, int(plane.sum())) for number, name, plane in export.planes()]
    assert found == [(4, "a", 1), (9, "b", 3), (200, "nowhere", 0)]


def test_colours_by_name_and_else_from_the_palette() -> None:
    export = prepare_export(Labels(PLANES), PICTURE, colours={"b": (9, 8, 7)})
    assert dict(export.colours) == {1: colour(1), 2: (9, 8, 7)}
    table = palette_of(export)
    assert table[2].tolist() == [9, 8, 7]
    np.testing.assert_array_equal(np.delete(table, 2, 0), np.delete(PALETTE, 2, 0))


def test_other_shapes_and_nobodys_numbers_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"shape \(1, 3\) but its image has shape \(2, 1, 3\)"):
        prepare_export(Labels(PLANES), VOLUME)
    array = np.array([[7, 0, 0]], np.uint8)
    with pytest.raises(LabelError, match="label number 7 of the mask has no name; name the"):
        prepare_export(LabelMap(array, {}, {}), PICTURE)


def test_a_label_somebody_helped_with_is_semiautomatic() -> None:
    made_by = Algorithm("x", "1", frozenset({"b"}))
    assert [made_by.kind(name) for name in PLANES] == ["AUTOMATIC", "SEMIAUTOMATIC"]
