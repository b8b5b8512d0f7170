from __future__ import annotations

from medprism.data.store import SliceStore
from medprism.evaluation.cases import Target
from medprism.evaluation.references import FixedReferences
from tests.evaluation.phantoms import changed

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
