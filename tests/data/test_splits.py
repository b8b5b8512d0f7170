import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError, FormatVersionError
from medprism.data.splits import SplitConfig, draw_split, find_leaks, load_or_draw_split

PATIENTS = st.dictionaries(
    st.text("abcdefgh0123", min_size=1, max_size=5),
    st.one_of(st.none(), st.sampled_from(["ann", "bob", "cem", "dee", "eve"])),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(PATIENTS, st.integers(0, 5))
def test_all_cases_of_a_patient_are_on_one_side(patients: dict[str, str | None], seed: int) -> None:
    split = draw_split(patients, SplitConfig(seed=seed))
    assert set(split) == set(patients)
    for name in {patient for patient in patients.values() if patient is not None}:
        assert len({split[case] for case, patient in patients.items() if patient == name}) == 1


def test_shares_are_met_when_patients_are_unknown() -> None:
    split = draw_split({f"c{n}": None for n in range(100)}, SplitConfig(seed=3))
    counts = {name: list(split.values()).count(name) for name in ("train", "val", "test")}
    assert counts == {"train": 70, "val": 10, "test": 20}


def test_the_seed_decides_and_the_order_of_cases_does_not() -> None:
    patients = {f"c{n}": None for n in range(40)}
    backwards = dict(reversed(list(patients.items())))
    assert draw_split(patients, SplitConfig(seed=1)) == draw_split(backwards, SplitConfig(seed=1))
    assert draw_split(patients, SplitConfig(seed=1)) != draw_split(patients, SplitConfig(seed=2))


def test_a_written_split_stays_and_new_cases_follow_their_patient(tmp_path: Path) -> None:
    path = tmp_path / "splits" / "set.json"
    patients: dict[str, str | None] = {f"a{n}": f"p{n}" for n in range(10)}
    first = load_or_draw_split(path, patients, SplitConfig(seed=1))
    assert load_or_draw_split(path, patients, SplitConfig(seed=99)) == first
    grown = {**patients, **{f"b{n}": f"p{n}" for n in range(10)}, "new": None}
    second = load_or_draw_split(path, grown, SplitConfig(seed=99))
    assert {case: second[case] for case in patients} == first
    assert all(second[f"b{n}"] == first[f"a{n}"] for n in range(10))
    assert load_or_draw_split(path, grown, SplitConfig(seed=5)) == second


def test_a_damaged_split_is_refused_and_not_drawn_anew(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"format": "something else"}))
    with pytest.raises(FormatVersionError, match="medprism-split"):
        load_or_draw_split(path, {"a": None}, SplitConfig())


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0)])
def test_shares_that_do_not_add_up_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="must add up to 1"):
        SplitConfig(train=shares[0], val=shares[1], test=shares[2])


def test_the_same_image_twice_on_one_side_is_no_leak() -> None:
    rows = [("a", "train", "x"), ("b", "train", "x"), ("c", "val", "y"), ("d", "test", "y")]
    assert find_leaks(rows) == (("c", "d"),)
