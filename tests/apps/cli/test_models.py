from __future__ import annotations

from medprism.models.catalog import IRIS_PRESETS, PRESETS, SLICE_IRIS_PRESETS, TPSEG_PRESETS
from tests.apps.conftest import Command


def test_programs_get_every_preset_with_its_parameters(medprism: Command) -> None:
    ended = medprism("models", "--json")
    presets = {preset["name"]: preset for preset in ended.json()["presets"]}
    assert ended.status == 0
    assert list(presets) == [*PRESETS, *IRIS_PRESETS, *SLICE_IRIS_PRESETS, *TPSEG_PRESETS]
    base = presets["kprism-base"]
    assert base["total"] == 40_460_953
    assert base["per_expert"] == 3_952_146
    assert sum(base["parameters"].values()) == base["total"]


def test_people_get_the_same_figures(medprism: Command) -> None:
    ended = medprism("models")
    assert ended.status == 0
    assert "40,460,953 parameters with 33 classes, 3,952,146 per expert" in ended.out
    assert all(
        name in ended.out for name in (*PRESETS, *IRIS_PRESETS, *SLICE_IRIS_PRESETS, *TPSEG_PRESETS)
    )
    assert "69,408,521 parameters with 33 classes, 128^3 voxels" in ended.out
