from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import StoreError
from medprism.data.case import DatasetInfo
from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.diet import choose_diet
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from medprism.data.vocabulary import PARTIAL_LABELS, training_concepts
from tests.data.phantoms import write_dataset


def _empty_store(infos: list[DatasetInfo]) -> SliceStore:
    return SliceStore(Path("store"), {info.name: info for info in infos}, (), {})


def _info(name: str, classes: dict[int, str], role: str = "train") -> DatasetInfo:
    return DatasetInfo(name, name, role, None, classes, redistributable="yes")


def _shared_infos() -> list[DatasetInfo]:
    tables = [c.label_ids for c in training_concepts().concepts]
    names = {name for ids in (*tables, *PARTIAL_LABELS.values()) for name in ids}
    return [_info(name, {}) for name in sorted(names)]


def test_all_shared_sets_give_the_shared_table_row_by_row() -> None:
    diet = choose_diet(_empty_store(_shared_infos()))
    assert diet.concepts.to_json() == training_concepts().to_json()
    assert {n: dict(ids) for n, ids in diet.partial.items()} == {
        n: dict(ids) for n, ids in PARTIAL_LABELS.items()
    }


def test_a_part_of_them_gives_only_what_these_sets_show() -> None:
    store = _empty_store([_info("kvasir_seg", {}), _info("edd2020", {}), _info("drive", {})])
    diet = choose_diet(store)
    assert set(diet.concepts.names) < set(training_concepts().names)
    polyp = diet.concepts[diet.concepts.row("polyp")]
    assert set(polyp.label_ids) == {"kvasir_seg"}
    assert set(diet.partial["polyp"]) == {"edd2020"}
    assert "liver" not in diet.concepts.names


def test_own_sets_join_the_concept_of_the_same_name_or_synonym() -> None:
    store = _empty_store(
        [
            _info("kvasir_seg", {}),
            _info("mine", {1: "Colon polyp", 2: "stent"}),
            _info("b", {7: "STENT"}),
        ]
    )
    concepts = choose_diet(store).concepts
    assert set(concepts[concepts.row("polyp")].label_ids) == {"kvasir_seg", "mine"}
    assert dict(concepts[concepts.row("stent")].label_ids) == {"mine": (2,), "b": (7,)}


def test_published_sets_give_their_concepts_and_share_them() -> None:
    infos = [PUBLISHED[name].info for name in ("bkai_igh", "amos_ct", "btcv", "lits")]
    concepts = choose_diet(_empty_store([*infos, _info("kvasir_seg", {})])).concepts
    assert dict(concepts[concepts.row("polyp")].label_ids) == {
        "kvasir_seg": (1,),
        "bkai_igh": (1, 2),
    }
    assert "neoplastic polyp" not in concepts.names
    # BTCV is never trained on by K-Prism, so its role keeps it out.
    assert dict(concepts[concepts.row("esophagus")].label_ids) == {"amos_ct": (5,)}
    assert dict(concepts[concepts.row("liver tumour")].label_ids) == {"lits": (2,)}


def test_a_checkpoints_table_comes_first_and_keeps_its_rows() -> None:
    start = ConceptTable((Concept("cyst", ("bubble",), {"old": (3,)}), Concept("spleen")))
    diet = choose_diet(_empty_store([_info("mine", {1: "Bubble", 2: "duct"})]), (), start)
    assert diet.concepts.names == ("cyst", "spleen", "duct")
    assert dict(diet.concepts[0].label_ids) == {"old": (3,), "mine": (1,)}


def test_sets_are_left_out_by_licence_and_by_role(tmp_path: Path) -> None:
    write_dataset(tmp_path / "free", num_patients=2)
    write_dataset(tmp_path / "closed", num_patients=2, redistributable="unclear")
    write_dataset(tmp_path / "outside", num_patients=2, role="external")
    prepare([tmp_path / name for name in ("free", "closed", "outside")], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    everything = choose_diet(store)
    assert [info.name for info in everything.infos] == ["free", "closed"]
    free = choose_diet(store, ("yes", "no"))
    assert {row.dataset for row in free.store.rows} == {"free"}
    assert list(free.store.infos) == ["free"]
    number = next(n for n, row in enumerate(store.rows) if row.dataset == "free")
    assert (free.store.image(0) == store.image(number)).all()
    with pytest.raises(StoreError, match="no training set with licence no; it has unclear, yes"):
        choose_diet(store, ("no",))


def test_a_store_without_training_sets_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "outside", num_patients=2, role="external")
    prepare([tmp_path / "outside"], tmp_path / "store")
    with pytest.raises(StoreError, match="has no training set$"):
        choose_diet(SliceStore.open(tmp_path / "store"))


def test_the_description_of_a_phantom_names_its_classes(tmp_path: Path) -> None:
    write_dataset(tmp_path / "free", num_patients=2)
    prepare([tmp_path / "free"], tmp_path / "store")
    named = json.loads((tmp_path / "free" / "dataset.json").read_text())["classes"]
    assert choose_diet(SliceStore.open(tmp_path / "store")).concepts.names == tuple(named.values())
