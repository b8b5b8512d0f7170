from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.data.slice_index import ChosenRows, IndexBuilder, SliceIndex
from medprism.data.slice_row import SliceRow

TEXTS = st.text(max_size=5)
SIDES = st.integers(1, 40)
POSITIONS = st.floats(0, 1)
SPACINGS = st.floats(0.01, 9)
AREAS = st.dictionaries(st.integers(1, 300), st.integers(1, 999), max_size=4)


@st.composite
def rows_of_a_part(draw: st.DrawFn) -> list[SliceRow]:
    count = draw(st.integers(0, 12))
    rows = [
        SliceRow(
            dataset="set",
            case_id=draw(TEXTS),
            patient=draw(st.none() | TEXTS),
            split=draw(st.sampled_from(["train", "val"])),
            role="train",
            modality=draw(st.none() | st.just("CT")),
            slice_index=draw(st.none() | st.integers(0, 500)),
            relative_position=draw(st.none() | POSITIONS),
            view=draw(st.none() | st.sampled_from(["ax", "co"])),
            spacing=draw(st.none() | st.tuples(SPACINGS, SPACINGS)),
            plane=(plane := draw(st.integers(0, 30))),
            shape=(draw(SIDES), draw(SIDES), draw(st.sampled_from([1, 3]))),
            source_shape=(draw(SIDES), draw(SIDES)),
            areas=draw(AREAS),
            content=f"{draw(st.sampled_from(['ab', 'cd:1', '']))}:{plane}",
            offset=0,
            is_unlabelled=draw(st.booleans()),
        )
        for _ in range(count)
    ]
    offsets = [0, *accumulate(row.num_bytes for row in rows)]
    return [replace(row, offset=offset) for row, offset in zip(rows, offsets, strict=False)]


def _written(rows: list[SliceRow]) -> str:
    builder = IndexBuilder()
    builder.add(rows)
    return json.dumps(builder.to_json())


def _read(text: str) -> SliceIndex:
    return SliceIndex.from_json(json.loads(text), 1 << 40)


@settings(max_examples=60, deadline=None)
@given(rows_of_a_part())
def test_rows_return_as_they_were_and_follow_one_another(rows: list[SliceRow]) -> None:
    index = _read(_written(rows))
    assert list(index) == rows
    assert index[:] == tuple(rows)
    assert index.num_bytes == sum(row.num_bytes for row in rows)
    for wanted in (False, True):
        chosen = ChosenRows([index, tuple(rows), index], is_unlabelled=wanted)
        marked = [row for row in rows if row.is_unlabelled == wanted]
        # A tuple is a part of version 1, in which everything is labelled.
        expected = [*marked, *(() if wanted else rows), *marked]
        assert list(chosen) == expected
        assert [chosen[number] for number in range(len(chosen))] == expected
        assert chosen[1:3] == tuple(expected[1:3])
        if expected:
            assert chosen[-1] == expected[-1]
        with pytest.raises(IndexError):
            chosen[len(expected)]


def _many(count: int) -> list[SliceRow]:
    return [
        SliceRow(
            dataset="set",
            case_id=f"case{number // 100}_z{number % 100:03d}",
            patient=f"p{number // 100}",
            split="train",
            role="train",
            modality="MR",
            slice_index=number % 100,
            relative_position=(number % 100) / 99,
            view=None,
            spacing=(1.0, 1.0),
            plane=number % 100,
            shape=(64, 64, 1),
            source_shape=(64, 64),
            areas={1: 50 + number % 37} if number % 3 else {},
            content=f"{number // 100:064x}:{number % 100}",
            offset=0,
            is_unlabelled=number % 3 == 0,
        )
        for number in range(count)
    ]


def test_a_row_is_built_once_and_only_when_it_is_asked_for() -> None:
    index = _read(_written(_many(50)))
    assert index._rows == [None] * 50
    assert index[7] is index[7]
    assert sum(row is not None for row in index._rows) == 1


def test_an_index_of_100_000_slices_opens_within_a_second() -> None:
    text = _written(_many(100_000))
    assert len(text) < 60 * 100_000
    started = time.process_time()
    index = _read(text)
    chosen = ChosenRows([index], is_unlabelled=True)
    assert time.process_time() - started < 1
    assert (len(index), len(chosen)) == (100_000, 33_334)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("case_id", {"each": ["a", "b", 3]}),
        ("case_id", {"each": ["a", "b"]}),
        ("patient", {"all": 4}),
        ("slice_index", {"each": [0, 1, -2]}),
        ("slice_index", {"table": [0, 1], "codes": [0, 1, 2]}),
        ("relative_position", {"all": "middle"}),
        ("spacing", {"all": [1.0]}),
        ("plane", {"all": True}),
        ("shape", {"all": [64, 64, 2]}),
        ("shape", {"all": [64, 0, 1]}),
        ("source_shape", {"all": [64, 1 << 40]}),
        ("source_shape", {"all": "64"}),
        ("is_unlabelled", {"all": 0}),
        ("num_labels", {"all": 1}),
        ("num_labels", {}),
    ],
)
def test_a_damaged_column_is_refused(column: str, value: object) -> None:
    payload = json.loads(_written(_many(3)))
    SliceIndex.from_json(payload, 1 << 40)
    payload["columns"][column] = value
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        SliceIndex.from_json(payload, 1 << 40)


def test_more_rows_than_bytes_are_refused_before_memory_is_taken() -> None:
    payload = json.loads(_written(_many(3)))
    payload["num_rows"] = 1 << 45
    with pytest.raises(ValueError, match="rows in 9000 bytes"):
        SliceIndex.from_json(payload, 9000)
