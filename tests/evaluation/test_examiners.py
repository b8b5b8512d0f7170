from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medprism.data.datasets.adapters import open_dataset
from medprism.data.store import SliceStore
from medprism.evaluation.cases import StoreReader
from medprism.evaluation.examiners import SessionExaminer, identity_of
from medprism.evaluation.volumes import VolumeExaminer
from medprism.evaluation.whole_volume import VolumeFolder
from tests.evaluation.phantoms import scene_model, write_scans


def test_whatever_decides_the_answers_of_a_model_is_in_its_identity() -> None:
    model = replace(scene_model(), name="weights/mine.safetensors")
    known = identity_of(model, auto_zoom=True)
    assert known["method"] == "mine"
    for other in (
        identity_of(replace(model, weights_hash="x"), auto_zoom=True),
        identity_of(replace(model, long_side=model.long_side + 32), auto_zoom=True),
        identity_of(replace(model, engine="x"), auto_zoom=True),
        identity_of(model, auto_zoom=False),
    ):
        assert sum(known[name] != other[name] for name in known) == 1


def test_slices_and_volumes_identify_a_model_alike(scenes: SliceStore, tmp_path: Path) -> None:
    model = scene_model("scenes")
    dataset = open_dataset(write_scans(tmp_path / "scans"), tmp_path / "splits")
    identities = (
        SessionExaminer(model, scenes, StoreReader(scenes), auto_zoom=False).identity(),
        VolumeExaminer(model, VolumeFolder(dataset), auto_zoom=False).identity(),
    )
    for identity in identities:
        expected = identity_of(model, auto_zoom=False)
        assert {name: identity[name] for name in expected} == expected
