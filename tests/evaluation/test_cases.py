from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import LabelError, StoreError
from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.data.vocabulary import training_concepts
from medprism.evaluation.cases import FolderReader, StoreReader, Target, targets_of
from medprism.evaluation.cases import trained_targets as trained
from tests.data.phantoms import real_folder
from tests.evaluation.phantoms import concept_table, write_scenes
from tests.inference.phantom import scene


def test_a_model_names_the_targets_of_its_own_sets(scenes: SliceStore) -> None:
    table = ConceptTable((Concept("organs", (), {"scenes": (1, 2)}),))
    assert targets_of(scenes, "scenes", table) == (
        Target("scenes", "organs", (1, 2), True),
        Target("scenes", "polyp", (3,), False),
    )
    assert {t.is_exhaustive for t in targets_of(scenes, "outside", table)} == {False}
    with pytest.raises(LabelError, match="no dataset 'nowhere'"):
        targets_of(scenes, "nowhere", table)


def test_the_vocabulary_names_the_targets_of_shared_sets(scenes: SliceStore) -> None:
    found = {t.concept: t for t in targets_of(scenes, "covid_cxr", training_concepts())}
    assert found["lung"].label_ids == (1, 2)
    assert not found["lung"].is_exhaustive
    acdc = targets_of(scenes, "acdc_cardiac_mri", training_concepts())
    assert all(target.is_exhaustive for target in acdc)
    partial = [t for t in targets_of(scenes, "edd2020", training_concepts())]
    assert partial
    assert not any(target.is_exhaustive for target in partial)


def test_published_sets_name_their_own_targets() -> None:
    infos = {name: PUBLISHED[name].info for name in ("bkai_igh", "btcv")}
    store = SliceStore(Path("store"), infos, (), {})
    table = ConceptTable((Concept("polyp", (), {"bkai_igh": (1, 2)}),))
    assert targets_of(store, "bkai_igh", table) == (Target("bkai_igh", "polyp", (1, 2), True),)
    found = {t.concept: t for t in targets_of(store, "btcv", table)}
    assert found["kidney"].label_ids == (2, 3)
    assert not found["kidney"].is_exhaustive


def test_trained_targets_are_all_pools_of_the_table() -> None:
    table = training_concepts()
    listed = {(t.dataset, t.concept): t for t in trained(table)}
    assert listed["edd2020", "polyp"] == Target("edd2020", "polyp", (4,), False)
    assert listed["drishti_gs", "optic disc"].label_ids == (1, 2)
    assert trained(concept_table("x", "y"))[:2] == (
        Target("x", "liver", (1,), True),
        Target("y", "liver", (1,), True),
    )


def test_the_store_gives_its_own_grid_and_the_folder_the_original_one(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "big", cases={"test": ["a", "b"]})
    prepare([folder], tmp_path / "store", PrepareConfig(long_side=64))
    store = SliceStore.open(tmp_path / "store")
    target = Target("big", "organs", (1, 2), True)
    pixels, masks = scene(1, shift=1)
    small, original = StoreReader(store), FolderReader(store, [folder])
    assert small.image(1).shape == small.truth(1, target).shape == store.rows[1].shape[:2]
    assert original.image(1).shape == pixels.shape
    np.testing.assert_array_equal(original.image(1).voxels[0, ..., 0], pixels)
    np.testing.assert_array_equal(original.truth(1, target), masks["liver"] | masks["left kidney"])
    assert original.truth(1, Target("big", "none", (9,), True)).sum() == 0


def test_folders_that_lack_a_case_are_refused(tmp_path: Path, scenes: SliceStore) -> None:
    other = write_scenes(tmp_path / "scenes", cases={"test": ["f"]})
    with pytest.raises(StoreError, match="but in none of the folders given"):
        FolderReader(scenes, [other])


@pytest.mark.realdata
def test_real_pictures_keep_their_own_size(tmp_path: Path) -> None:
    folder = real_folder("drive")
    prepare([folder], tmp_path / "store", PrepareConfig(long_side=128))
    store = SliceStore.open(tmp_path / "store")
    reader = FolderReader(store, [folder])
    target = targets_of(store, "drive", training_concepts())[0]
    assert reader.image(0).shape == store.rows[0].source_shape
    assert reader.truth(0, target).any()
