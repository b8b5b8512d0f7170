from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.data.case import DatasetInfo
from medprism.data.held_out import count_cases, count_masks, hold_out, keep_splits
from medprism.data.slice_row import SliceRow
from medprism.data.store import SliceStore

IDS = {"one": {"set": (1,)}, "two": {"set": (2, 3)}}


def _store(rows: Sequence[tuple[str | None, str, tuple[int, ...]]], splits: str = "") -> SliceStore:
    """Return a store of rows (patient, image, label ids); only its index is ever read."""
    names = {"t": "train", "v": "val", "x": "test"}
    made = tuple(
        SliceRow(
            dataset="set",
            case_id=f"{number}",
            patient=patient,
            split=names[splits[number]] if splits else "test",
            role="unseen",
            modality=None,
            slice_index=None,
            relative_position=None,
            view=None,
            spacing=None,
            plane=0,
            shape=(4, 6, 1),
            source_shape=(4, 6),
            areas=dict.fromkeys(ids, 3),
            content=f"{image}:{number}",
            offset=0,
        )
        for number, (patient, image, ids) in enumerate(rows)
    )
    info = DatasetInfo("set", "set", "unseen", None, {1: "one", 2: "two"})
    return SliceStore(Path("nowhere"), {"set": info}, made, {})


@given(
    patients=st.lists(st.integers(0, 7), min_size=6, max_size=30).filter(lambda p: len(set(p)) > 1),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_a_patient_is_on_one_side_and_every_class_on_both(patients: list[int], seed: int) -> None:
    store = _store([(f"p{patient}", f"i{n}", (1,)) for n, patient in enumerate(patients)])
    held = hold_out(store, {"one": IDS["one"]}, 0.25, seed)
    sides: dict[str | None, set[str]] = {}
    for row in held.rows:
        sides.setdefault(row.patient, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {row.split for row in held.rows} == {"train", "val"}
    assert {row.role for row in held.rows} == {"train"} == {i.role for i in held.infos.values()}
    again = hold_out(store, {"one": IDS["one"]}, 0.25, seed)
    assert [row.split for row in again.rows] == [row.split for row in held.rows]


def test_slices_of_one_volume_stay_together_where_no_patient_is_known() -> None:
    store = _store([(None, f"volume {n // 4}", (1,)) for n in range(12)])
    held = hold_out(store, {"one": IDS["one"]}, 0.25, 0)
    by_volume = {row.content.partition(":")[0]: set() for row in held.rows}
    for row in held.rows:
        by_volume[row.content.partition(":")[0]].add(row.split)
    assert all(len(side) == 1 for side in by_volume.values())
    assert count_masks(held, IDS["one"], "val") == 4 and count_cases(held, IDS["one"], "val") == 1


def test_a_rare_class_is_on_both_sides_too() -> None:
    rows = [(f"p{n}", f"i{n}", (1, 2) if n < 5 else (1,)) for n in range(40)]
    for seed in range(6):
        held = hold_out(_store(rows), IDS, 0.25, seed)
        assert count_masks(held, IDS["two"], "train") and count_masks(held, IDS["two"], "val")


def test_too_few_masks_are_refused_with_number_and_rule() -> None:
    with pytest.raises(ConfigError, match="'one' has 2 masks; .* at least 5, so add 3 more"):
        hold_out(_store([("a", "x", (1,)), ("b", "y", (1,))]), {"one": IDS["one"]}, 0.25, 0)
    one_patient = _store([("a", f"i{n}", (1,)) for n in range(9)])
    with pytest.raises(ConfigError, match="9 masks of 'one' are all of one patient or image"):
        hold_out(one_patient, {"one": IDS["one"]}, 0.25, 0)
    # Each class is on one of two patients only, so no split has both on both sides.
    rows = [("a", f"a{n}", (1,)) for n in range(5)] + [("b", f"b{n}", (1,)) for n in range(5)]
    rows += [("a", "c", (2,)), *[("b", f"d{n}", (2,)) for n in range(4)]]
    held = hold_out(_store(rows), IDS, 0.25, 0)
    assert {row.patient for row in held.rows if row.split == "val"} in ({"a"}, {"b"})


def test_a_written_split_serves_where_both_sides_show_the_class() -> None:
    rows = [(f"p{n}", f"i{n}", (1,)) for n in range(4)]
    kept = keep_splits(_store(rows, "ttvx"), {"one": IDS["one"]})
    assert kept is not None and [row.split for row in kept.rows] == [
        "train",
        "train",
        "val",
        "test",
    ]
    assert keep_splits(_store(rows, "ttxx"), {"one": IDS["one"]}) is None
