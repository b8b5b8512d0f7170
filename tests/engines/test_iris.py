"""The weights of Iris that the package ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medprism.engines.iris import LoadedIris, load_iris
from medprism.engines.loading import shipped_path
from medprism.inference.iris.encoding import VolumeReference, encode_task
from medprism.inference.iris.segmentation import segment_by_task, tasks_of_bank
from medprism.io.reader import read_image, read_mask
from medprism.metrics.dice import dice
from medprism.models.checkpoint import load_checkpoint

PRESET = "iris-compact"
SET = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "3d" / "msd_hippocampus_mri"

pytestmark = pytest.mark.skipif(
    not shipped_path(PRESET).is_file(), reason="this checkout ships no weights of iris-compact"
)


@pytest.fixture(scope="module")
def loaded() -> LoadedIris:
    return load_iris(PRESET)


def test_it_is_found_by_its_name_and_small_enough_to_ship(loaded: LoadedIris) -> None:
    path = shipped_path(PRESET)
    assert path.stat().st_size < 16e6
    info = load_checkpoint(path).info
    assert loaded.window == 64 and loaded.coarse == 3.0
    assert info.card["intended_use"] and info.card["licence"]
    assert {one["name"] for one in info.training["sets"]} == set(loaded.spacing)
    assert all(one["licence"] for one in info.training["sets"])


@pytest.mark.realdata
@pytest.mark.skipif(not SET.is_dir(), reason="the hippocampi do not lie beside the checkout")
def test_a_hippocampus_is_found_by_that_of_another_patient_and_by_its_class(
    loaded: LoadedIris,
) -> None:
    name = "hippocampus"
    reference, query = (_read(case, name) for case in _cases())
    task = encode_task(loaded, [reference], [name])
    found = segment_by_task(loaded, query.image, task).masks()[name]
    assert dice(found, query.masks[name]) > 0.75
    (known,) = tasks_of_bank(loaded, [name])
    found = segment_by_task(loaded, query.image, known).masks()[name]
    assert dice(found, query.masks[name]) > 0.75


def _cases() -> tuple[str, str]:
    """Return a case to learn from and one to test on, of two patients."""
    split = json.loads((SET / "dataset.json").read_text())["split"]
    return split["train"][0], split["test"][0]


def _read(case: str, name: str) -> VolumeReference:
    image = read_image(SET / "volumes" / f"{case}_img.nii.gz").replace(modality="MR")
    mask = read_mask(SET / "volumes" / f"{case}_seg.nii.gz", like=image)
    return VolumeReference(case, image, {name: np.asarray(mask.array > 0)})
