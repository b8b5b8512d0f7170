import json
from pathlib import Path

import pytest

from medprism.core.concepts import ConceptTable
from medprism.core.errors import LabelError
from medprism.data.case import DatasetInfo
from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.vocabulary import (
    PARTIAL_LABELS,
    concepts_from,
    evaluation_targets,
    known_datasets,
    published_concepts,
    shared_concept,
    training_concepts,
    unseen_concepts,
)
from tests.data.phantoms import REAL_DATA, real_folder

GOLDEN_ORDER = Path(__file__).parent / "golden" / "training_concepts.json"


def _descriptions() -> dict[str, dict]:
    real_folder("acdc_cardiac_mri")
    return {
        path.parent.name: json.loads(path.read_text())
        for path in sorted((REAL_DATA / "2d").glob("*/dataset.json"))
    }


@pytest.mark.realdata
def test_every_class_of_every_dataset_is_covered_and_every_id_exists() -> None:
    descriptions = _descriptions()
    assert set(known_datasets()) == set(descriptions)
    for slug, description in descriptions.items():
        covered = {label_id for _, ids in evaluation_targets(slug) for label_id in ids}
        assert covered == {int(label_id) for label_id in description["classes"]}, slug


@pytest.mark.realdata
def test_training_concepts_name_train_sets_only_and_cover_all_their_classes() -> None:
    descriptions = _descriptions()
    covered: dict[str, set[int]] = {}
    for concept in training_concepts().concepts:
        for dataset, ids in (
            *concept.label_ids.items(),
            *PARTIAL_LABELS.get(concept.name, {}).items(),
        ):
            assert descriptions[dataset]["role"] == "train", (concept.name, dataset)
            covered.setdefault(dataset, set()).update(ids)
    expected = {
        slug: {int(label_id) for label_id in description["classes"]}
        for slug, description in descriptions.items()
        if description["role"] == "train"
    }
    assert covered == expected


@pytest.mark.realdata
def test_unseen_concepts_come_from_sets_that_are_never_trained_on() -> None:
    descriptions = _descriptions()
    for concept in unseen_concepts().concepts:
        assert concept.label_ids
        for dataset in concept.label_ids:
            assert descriptions[dataset]["role"] in ("unseen", "external")


@pytest.mark.realdata
def test_a_name_of_one_class_leads_to_the_concept_that_holds_its_label_id() -> None:
    table = training_concepts()
    checked = 0
    for slug, description in _descriptions().items():
        for label_id, name in description["classes"].items():
            try:
                concept = table[table.row(name)]
            except LabelError:
                continue
            ids = {**concept.label_ids, **PARTIAL_LABELS.get(concept.name, {})}
            targets = dict(evaluation_targets(slug))
            if slug in ids and len(targets.get(concept.name, ())) == 1:
                assert ids[slug] == (int(label_id),), (slug, name)
                checked += 1
    assert checked >= 60


def test_the_order_of_the_class_table_is_the_golden_one() -> None:
    golden = json.loads(GOLDEN_ORDER.read_text())
    assert list(training_concepts().names)[: len(golden)] == golden


@pytest.mark.parametrize(
    ("name", "dataset", "ids"),
    [
        ("hippocampus", "msd_hippocampus_mri", (1, 2)),
        ("hippocampus", "miccai2012_oasis_brain_mri", (8,)),
        ("anterior hippocampus", "msd_hippocampus_mri", (1,)),
        ("optic disc", "drishti_gs", (1, 2)),
        ("optic disc", "idrid_od", (1,)),
        ("lung", "lung_cxr", (1,)),
        ("kidney", "mt_kits19_kidney_ct", (1, 2)),
        ("white cell nucleus", "wbc1", (2,)),
    ],
)
def test_merged_structures_hold_the_listed_ids(
    name: str, dataset: str, ids: tuple[int, ...]
) -> None:
    table = training_concepts()
    assert table[table.row(name)].label_ids[dataset] == ids


def test_cell_nuclei_and_white_cell_nuclei_are_different_concepts() -> None:
    table = training_concepts()
    assert table.row("nucleus") != table.row("white cell nucleus")
    assert "wbc1" not in table[table.row("nucleus")].label_ids


def test_sets_that_label_only_some_images_are_never_exhaustive() -> None:
    table = training_concepts()
    for name, sources in PARTIAL_LABELS.items():
        assert not set(sources) & set(table[table.row(name)].label_ids)
    assert set(PARTIAL_LABELS["prostate gland"]) == {"prostate_gland"}


def test_no_unseen_name_is_in_the_class_table() -> None:
    both = (*training_concepts().concepts, *unseen_concepts().concepts)
    assert len(ConceptTable(both)) == len(both)


def test_an_unknown_dataset_is_refused() -> None:
    with pytest.raises(LabelError, match="knows no dataset 'nowhere'"):
        evaluation_targets("nowhere")


def test_classes_of_own_datasets_become_concepts_in_order() -> None:
    infos = [
        DatasetInfo("a", "A", "train", None, {2: "Tumour", 1: "Liver"}),
        DatasetInfo("b", "B", "train", None, {7: "liver", 8: "Spleen", 9: "LIVER"}),
    ]
    table = concepts_from(infos)
    assert table.names == ("Liver", "Tumour", "Spleen")
    assert dict(table[0].label_ids) == {"a": (1,), "b": (7, 9)}


def test_published_sets_use_the_names_of_the_vocabulary() -> None:
    assert shared_concept("Esophagus").name == "oesophagus"
    assert shared_concept("liver tumour").name == "liver mass"
    with pytest.raises(LabelError, match="did you mean"):
        shared_concept("livre")
    (polyp,) = published_concepts(PUBLISHED["bkai_igh"].info)
    assert (polyp.name, dict(polyp.label_ids)) == ("polyp", {"bkai_igh": (1, 2)})
    assert "colon polyp" in polyp.synonyms


def test_a_folder_that_only_shares_the_name_of_a_published_set_is_not_it() -> None:
    own = DatasetInfo("busi", "my own pictures", "train", "US", {1: "cyst"})
    assert published_concepts(own) == ()
