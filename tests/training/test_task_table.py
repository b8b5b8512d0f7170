from __future__ import annotations

from dataclasses import replace

import pytest

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import ConfigError, LabelError, StoreError
from medprism.data.diet import Diet, choose_diet
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.training.task_table import choose_added, choose_tasks, describe_tasks
from tests.data.phantoms import write_dataset

OLD = ConceptTable((Concept("polyp"), Concept("big comma")))


@pytest.fixture(scope="module")
def diet(tmp_path_factory: pytest.TempPathFactory) -> Diet:
    root = tmp_path_factory.mktemp("sets")
    write_dataset(root / "grey", num_patients=3, slices=2)
    prepare([root / "grey"], root / "store", PrepareConfig(workers=1))
    return choose_diet(SliceStore.open(root / "store"))


def grown(diet: Diet) -> Diet:
    return choose_diet(diet.store, (), OLD)


def test_all_concepts_are_tasks_unless_some_are_named(diet: Diet) -> None:
    assert choose_tasks(diet, (), None).concepts.names == ("big comma", "small comma")
    one = choose_tasks(diet, ("Small-Comma",), None)
    assert one.concepts.names == ("small comma",)
    assert one.sets == ("grey",)
    with pytest.raises(LabelError, match="did you mean small comma"):
        choose_tasks(diet, ("smal comma",), None)


def test_tasks_of_a_checkpoint_keep_their_rows(diet: Diet) -> None:
    chosen = choose_tasks(grown(diet), ("small comma",), OLD)
    assert chosen.concepts.names == ("polyp", "big comma", "small comma")
    assert [bool(concept.label_ids) for concept in chosen.concepts.concepts] == [
        False,
        False,
        True,
    ]


def test_an_added_task_comes_last_and_is_the_only_one_asked(diet: Diet) -> None:
    chosen = choose_added(grown(diet), ("small comma",), OLD)
    assert chosen.concepts.names == ("polyp", "big comma", "small comma")
    assert [bool(concept.label_ids) for concept in chosen.concepts.concepts] == [
        False,
        False,
        True,
    ]
    with pytest.raises(ConfigError, match="'big comma' is a task of the checkpoint already"):
        choose_added(grown(diet), ("big comma",), OLD)
    with pytest.raises(LabelError, match="unknown class 'ghost'"):
        choose_added(grown(diet), ("ghost",), OLD)


def test_a_task_without_a_training_image_is_refused(diet: Diet) -> None:
    nobody = Concept("ghost", (), {"grey": (77,)})
    haunted = replace(diet, concepts=ConceptTable((*diet.concepts.concepts, nobody)))
    with pytest.raises(StoreError, match="task 'ghost' has no training image"):
        choose_tasks(haunted, (), None)
    assert len(choose_tasks(haunted, ("big comma",), None).concepts) == 1


def test_a_task_is_described_by_its_training_images(diet: Diet) -> None:
    big, small = describe_tasks(diet.store, diet.concepts, diet.partial)
    train = [row for row in diet.store.rows if row.split == "train"]
    assert (big["name"], big["images"]) == ("big comma", len(train))
    assert 0 < small["images"] < big["images"]
    assert big["colours"] == ["grey"]
    assert big["modalities"] == sorted({row.modality for row in train if row.modality})
    before = [{"name": "big comma", "modalities": ["XX"], "colours": ["colour"], "images": 5}]
    again = describe_tasks(diet.store, diet.concepts, diet.partial, before)[0]
    assert again["images"] == big["images"] + 5
    assert "XX" in again["modalities"]
    assert again["colours"] == ["colour", "grey"]
