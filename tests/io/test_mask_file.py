from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medprism.core.errors import FormatVersionError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.io.mask_file import FORMAT, MaskFile, pack_names, to_label_numbers, unpack_names


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64, bool]),
        (2, 3),
        elements={"min_value": 0, "max_value": 1},
    ).map(np.rint)
)
def test_whole_numbers_of_any_type_are_labels(values: np.ndarray) -> None:
    numbers = to_label_numbers(values)
    assert numbers.dtype == np.uint8
    np.testing.assert_array_equal(numbers, values)


@pytest.mark.parametrize(
    ("top", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)]
)
def test_the_smallest_type_that_holds_them(top: int, dtype: type) -> None:
    numbers = to_label_numbers(np.array([0, top], dtype=np.int64))
    assert numbers.dtype == dtype
    assert numbers.tolist() == [0, top]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([0.5]), "fractions or NaN"),
        (np.array([np.nan, 1.0]), "fractions or NaN"),
        (np.array([np.inf]), "fractions or NaN"),
        (np.array([-1, 3]), "label -1; labels must be 0 to 4294967295, renumber"),
        (np.array([2**32], dtype=np.int64), "label 4294967296"),
    ],
)
def test_what_is_no_label_is_refused(values: np.ndarray, reason: str) -> None:
    with pytest.raises(ImageReadError, match=reason):
        to_label_numbers(values)


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.text(), max_size=6))
def test_names_come_back(names: dict[int, str]) -> None:
    text = pack_names(names)
    assert text.isascii()
    assert "\n" not in text
    assert dict(unpack_names(text)) == names


@given(st.text())
def test_a_text_of_anybody_else_names_nothing(text: str) -> None:
    assert dict(unpack_names(text)) == {}


@pytest.mark.parametrize("text", [None, "", "[1]", '{"format": "other", "names": 3}', "[" * 99_999])
def test_other_documents_name_nothing(text: str | None) -> None:
    assert dict(unpack_names(text)) == {}


@pytest.mark.parametrize("names", [None, 3, ["liver"], {"one": "liver"}, {"1": 5}, {"9" * 40: "x"}])
def test_damaged_names_are_refused(names: object) -> None:
    text = json.dumps({"format": FORMAT, "version": 1, "names": names})
    with pytest.raises(ImageReadError, match="label names are damaged"):
        unpack_names(text)


def test_a_newer_version_is_refused() -> None:
    text = json.dumps({"format": FORMAT, "version": 2, "names": {}})
    with pytest.raises(FormatVersionError, match="version 2, this program reads up to 1"):
        unpack_names(text)


def test_planes_follow_the_numbers_and_shared_names_are_united() -> None:
    array = np.array([[0, 7, 2], [3, 7, 0]], dtype=np.uint8)
    names = {2: "lung", 3: "lung", 5: "absent"}
    labels = MaskFile(array, Geometry.pixels((1, 2, 3)), names).to_labels()
    assert labels.names == ("lung", "label 7")
    np.testing.assert_array_equal(labels["lung"], (array == 2) | (array == 3))
    np.testing.assert_array_equal(labels["label 7"], array == 7)
