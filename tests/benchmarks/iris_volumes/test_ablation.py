from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.iris_volumes.ablation import FULL, VARIANTS, main, settings_of, sizes_of, summary
from benchmarks.iris_volumes.ground import Ground

from benchmarks.iris_volumes import ablation
from medprism.data.diet import table_of
from medprism.training.iris.config import iris_recipe
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke, must_not_run
from tests.data.volume_phantoms import phantom_set


def test_each_variant_leaves_one_thing_out() -> None:
    whole = settings_of("iris-compact", 20, FULL).task
    assert (whole.mask_entry, whole.queries, whole.has_foreground) == ("shuffle", 10, True)
    changed = []
    for variant in VARIANTS:
        task = settings_of("iris-compact", 20, variant).task
        names = [name for name in vars(task) if getattr(task, name) != getattr(whole, name)]
        changed.append(names)
    assert changed == [[], ["mask_entry"], ["queries"], ["has_foreground"]]


def test_sizes_are_voxels_of_the_training_volumes() -> None:
    volumes = phantom_set(4)
    concepts = table_of([volumes.info])[0]
    sizes = sizes_of(Ground((volumes,), concepts, iris_recipe("iris-nano", 1)))["phantoms"]
    training = volumes.of("train")
    assert len(training) == 2
    bar = [int((one.labels == 2).sum()) for one in training]
    assert set(sizes) == CLASSES
    assert sizes["dark bar"] == np.mean(bar) == 6 * 11 * 7


def test_every_variant_is_trained_for_equal_steps_and_small_structures_stand_apart(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "SMALL_VOXELS", 260)
    asked = ["--data", data, "--out", tmp_path, "--steps", 1, "--preset", "iris-nano"]
    status, printed = invoke(main, *asked)
    assert status == 0, printed
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    for variant in VARIANTS:
        assert set(rows[f"phantoms | {variant}"]["value"]) == CLASSES
    assert sorted(one.name for one in (tmp_path / "runs").glob("ablation-no*")) == [
        "ablation-no_foreground_stream-1steps",
        "ablation-no_high-resolution_masks-1steps",
        "ablation-no_query_tokens-1steps",
    ]
    page = (tmp_path / "ablation.md").read_text()
    assert "Structures below 260 working voxels: dark bar (phantoms)." in page
    monkeypatch.setattr(ablation, "read_ground", must_not_run)
    assert invoke(main, *asked)[0] == 0


def test_a_loss_is_paired_and_averaged_over_the_classes_of_all_sets() -> None:
    rows = {
        "sizes": {"value": {"a": {"big": 5000.0, "thin": 10.0}, "b": {"ring": 3000.0}}},
        f"a | {FULL}": {"cases": {"big": {"x": 0.9, "y": 0.7}, "thin": {"x": 0.5, "y": 0.5}}},
        f"b | {FULL}": {"cases": {"ring": {"z": 0.6}}},
        "a | no query tokens": {
            "cases": {"big": {"x": 0.8, "y": 0.6}, "thin": {"x": 0.1, "y": 0.1}}
        },
        "b | no query tokens": {"cases": {"ring": {"z": 0.5}}},
    }
    patients = {"a": {"x": "x", "y": "y"}, "b": {"z": "z"}}
    everything = summary(rows, patients, only_small=False).splitlines()
    assert everything[2].startswith(f"| {FULL} | 3 | 0.633 (")
    assert "| -0.200 (-0.200 to -0.200) |" in everything[3]
    small = summary(rows, patients, only_small=True).splitlines()
    assert small[2].startswith(f"| {FULL} | 1 | 0.500")
    assert "| -0.400 (-0.400 to -0.400) |" in small[3]
