from pathlib import Path

import numpy as np
import pytest

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import StoreError
from medprism.data.pools import build_pools
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from tests.data.phantoms import write_dataset

TABLE = ConceptTable(
    (
        Concept("comma", (), {"one": (1, 2), "two": (1, 2)}),
        Concept("small comma", (), {"one": (2,)}),
        Concept("elsewhere", (), {"other": (1,)}),
        Concept("rare", (), {}),
    )
)
PARTIAL = {"rare": {"two": (2,)}, "unknown": {"one": (1,)}}


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    for name, role in (("one", "train"), ("two", "train"), ("other", "external")):
        write_dataset(tmp_path / name, num_patients=3, role=role)
    prepare([tmp_path / name for name in ("one", "two", "other")], tmp_path / "store")
    return SliceStore.open(tmp_path / "store")


def test_pools_hold_exactly_the_rows_of_split_role_and_concept(store: SliceStore) -> None:
    pools = build_pools(store, TABLE, PARTIAL, "train")
    comma, small, elsewhere, rare = pools.by_concept
    assert [pool.dataset for pool in comma] == ["one", "two"]
    assert elsewhere == ()
    for pool in (*comma, *small, *rare):
        for row in store.rows:
            number = store.rows.index(row)
            belongs = row.split == "train" and row.dataset == pool.dataset
            shows = any(row.areas.get(label_id) for label_id in pool.label_ids)
            assert (number in pool.rows) == (belongs and shows)
    trained = [n for n, row in enumerate(store.rows) if row.split == "train" != row.role]
    assert len(pools.rows) == 12
    assert not set(pools.rows.tolist()) & {n for n in trained if store.rows[n].role == "external"}


def test_absence_counts_only_where_the_concept_is_labelled_exhaustively(
    store: SliceStore,
) -> None:
    _, small, _, rare = build_pools(store, TABLE, PARTIAL, "train").by_concept
    assert small[0].absent.size == 2
    assert all(2 not in store.rows[n].areas for n in small[0].absent)
    assert rare[0].rows.size == 4
    assert rare[0].absent.size == 0


def test_rows_know_their_pools(store: SliceStore) -> None:
    pools = build_pools(store, TABLE, PARTIAL, "train")
    for number in pools.rows.tolist():
        shown = {pool.concept for pool in pools.by_row[number]}
        row = store.rows[number]
        expected = {0}
        if 2 in row.areas:
            expected |= {1} if row.dataset == "one" else {3}
        assert shown == expected
        hidden = {pool.concept for pool in pools.absent_by_row.get(number, ())}
        assert hidden == ({1} if row.dataset == "one" and 2 not in row.areas else set())


def test_codes_tell_patients_apart(store: SliceStore) -> None:
    pool = build_pools(store, TABLE, PARTIAL, "train").by_concept[0][0]
    for i, a in enumerate(pool.rows):
        for j, b in enumerate(pool.rows):
            same = store.rows[a].patient == store.rows[b].patient
            assert (pool.patients[i] == pool.patients[j]) == same
    assert sorted(set(pool.positions)) == [0.0, 0.5, 1.0]


def test_unknown_patients_are_patients_of_their_own(tmp_path: Path) -> None:
    write_dataset(tmp_path / "one", num_patients=3)
    (tmp_path / "one" / "dataset.json").unlink()
    prepare([tmp_path / "one"], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    pool = build_pools(store, TABLE, {}, "train").by_concept[0][0]
    assert np.unique(pool.patients).size == pool.rows.size


def test_a_store_that_shows_no_concept_is_refused(store: SliceStore) -> None:
    with pytest.raises(StoreError, match="no val slice of role train"):
        build_pools(store, TABLE, PARTIAL, "val")
    with pytest.raises(StoreError, match="any of the 1 concepts"):
        build_pools(store, ConceptTable((Concept("x", (), {"other": (1,)}),)), {}, "train")
