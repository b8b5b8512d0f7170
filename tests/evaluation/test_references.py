from __future__ import annotations

from pathlib import Path

from medprism.data.store import SliceStore
from medprism.evaluation.cases import Target
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import volume_of
from tests.evaluation.phantoms import changed, make_volumes

LIVER = Target("scenes", "liver", (1,), True)
POLYP = Target("scenes", "polyp", (3,), True)
OUTSIDE = Target("outside", "liver", (1,), False)


def numbers(store: SliceStore, dataset: str, split: str) -> list[int]:
    return [n for n, r in enumerate(store.rows) if r.dataset == dataset and r.split == split]


def test_the_reference_is_one_and_the_same_train_slice(scenes: SliceStore) -> None:
    references = FixedReferences(scenes, seed=3)
    chosen = {references.choose(n, LIVER) for n in numbers(scenes, "scenes", "test")}
    assert len(chosen) == 1
    assert chosen <= set(numbers(scenes, "scenes", "train"))


def test_the_seed_decides(scenes: SliceStore) -> None:
    query = numbers(scenes, "scenes", "test")[0]
    drawn = {FixedReferences(scenes, seed).choose(query, LIVER) for seed in range(20)}
    assert drawn == set(numbers(scenes, "scenes", "train"))
    assert FixedReferences(scenes, 4).choose(query, LIVER) == FixedReferences(scenes, 4).choose(
        query, LIVER
    )


def test_a_set_without_train_serves_itself_but_never_the_same_patient(scenes: SliceStore) -> None:
    for seed in range(8):
        references = FixedReferences(scenes, seed)
        for query in numbers(scenes, "outside", "test"):
            chosen = references.choose(query, OUTSIDE)
            assert chosen is not None
            assert scenes.rows[chosen].dataset == "outside"
            assert scenes.rows[chosen].patient != scenes.rows[query].patient


def test_the_same_picture_elsewhere_is_no_reference(scenes: SliceStore) -> None:
    query = numbers(scenes, "scenes", "test")[0]
    content = scenes.rows[query].content
    store = changed(scenes, a={"content": content}, b={"content": content})
    for seed in range(8):
        chosen = FixedReferences(store, seed).choose(query, LIVER)
        assert chosen is not None
        assert store.rows[chosen].case_id == "c"


def test_the_same_view_is_preferred(scenes: SliceStore) -> None:
    query = numbers(scenes, "scenes", "test")[0]
    store = changed(scenes, f={"view": "sa"}, a={"view": "ax"}, b={"view": "sa"}, c={"view": "ax"})
    for seed in range(8):
        chosen = FixedReferences(store, seed).choose(query, LIVER)
        assert chosen is not None
        assert store.rows[chosen].case_id == "b"


def test_no_other_slice_is_no_reference(scenes: SliceStore) -> None:
    query = numbers(scenes, "scenes", "test")[0]
    same = {"patient": scenes.rows[query].patient}
    store = changed(scenes, a=same, b=same, c=same)
    assert FixedReferences(store, 0).choose(query, POLYP) is None


def test_several_extend_fewer_and_begin_with_the_one(scenes: SliceStore) -> None:
    for seed in range(6):
        references = FixedReferences(scenes, seed)
        for query in numbers(scenes, "scenes", "test"):
            several = [references.several(query, LIVER, count) for count in range(1, 6)]
            assert [len(chosen) for chosen in several] == [1, 2, 3, 3, 3]
            assert several[0] == (references.choose(query, LIVER),)
            assert all(several[4][: len(fewer)] == fewer for fewer in several)
            assert set(several[4]) == set(numbers(scenes, "scenes", "train"))


def test_several_are_of_other_patients_before_any_gives_a_second(tmp_path: Path) -> None:
    store = make_volumes(tmp_path)
    target = Target("volumes", "liver", (1,), True)
    for seed in range(12):
        chosen = FixedReferences(store, seed).several(0, target, 9)
        patients = [store.rows[number].patient for number in chosen]
        assert len(set(chosen)) == 9
        assert [set(patients[turn : turn + 2]) for turn in (0, 2, 4)] == [{"v1", "v2"}] * 3
        assert patients[6:] == ["v2"] * 3


def test_the_same_picture_counts_once_and_unknown_patients_are_different(tmp_path: Path) -> None:
    store = make_volumes(tmp_path)
    target = Target("volumes", "liver", (1,), True)
    twins = changed(store, v2_z000={"content": "same"}, v2_z003={"content": "same"})
    assert len(FixedReferences(twins, 0).several(0, target, 9)) == 8
    unknown = changed(store, **{row.case_id: {"patient": None} for row in store.rows})
    orders = [FixedReferences(unknown, seed).several(0, target, 3) for seed in range(12)]
    volumes = {tuple(volume_of(store.rows[n]) for n in order) for order in orders}
    assert ("v2", "v2", "v2") in volumes


def test_positions_are_the_nearest_slices_of_the_extent_of_one_other_volume(
    tmp_path: Path,
) -> None:
    store = make_volumes(tmp_path)
    target = Target("volumes", "liver", (1,), True)
    wanted = {1: (0.5,), 3: (0.2, 0.5, 0.8), 9: tuple(tenth / 10 for tenth in range(1, 10))}
    for seed in range(6):
        placed = FixedReferences(store, seed).at_positions(0, target, wanted)
        indices = {
            shots: [store.rows[number].slice_index for number in chosen]
            for shots, chosen in placed.items()
        }
        # v2 has slices 0, 3, ... 15: places 7.5; 3, 7.5, 12; 1.5, 3, ... 13.5, of which two meet.
        assert indices == {1: [6], 3: [3, 6, 12], 9: [0, 3, 6, 9, 12]}
        assert {store.rows[n].case_id[:2] for chosen in placed.values() for n in chosen} == {"v2"}


def test_positions_follow_the_structure_not_the_volume(tmp_path: Path) -> None:
    store = make_volumes(tmp_path)
    polyp = Target("volumes", "polyp", (3,), True)
    gone = ("v2_z000", "v2_z003", "v2_z006", "v1_z000", "v1_z003", "v1_z006")
    hidden = {case: {"areas": {1: 10, 2: 10}} for case in gone}
    wanted = {1: (0.0,), 2: (0.0, 1.0)}
    placed = FixedReferences(changed(store, **hidden), 0).at_positions(0, polyp, wanted)
    indices = [[store.rows[n].slice_index for n in chosen] for chosen in placed.values()]
    assert indices == [[9], [9, 15]]


def test_positions_never_come_from_the_own_volume_or_patient(tmp_path: Path) -> None:
    store = make_volumes(tmp_path)
    target = Target("volumes", "liver", (1,), True)
    everything = {row.case_id: {"patient": None, "split": "test"} for row in store.rows}
    loose = changed(store, **everything)
    for query, row in enumerate(loose.rows):
        for seed in range(4):
            (other,) = FixedReferences(loose, seed).at_positions(query, target, {1: (0.5,)})[1]
            assert volume_of(loose.rows[other]) != volume_of(row)
    same = changed(store, **{row.case_id: {"patient": "v0"} for row in store.rows})
    assert FixedReferences(same, 0).at_positions(0, target, {1: (0.5,)}) == {}
