from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medprism.engines import inventory
from medprism.engines.inventory import count_parameters, describe_presets
from medprism.models.catalog import IRIS_PRESETS, PRESETS, SLICE_IRIS_PRESETS, TPSEG_PRESETS
from medprism.models.checkpoint import save_checkpoint
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from tests.models.checkpoints import CONCEPTS, make_info


def test_the_base_preset_has_the_papers_numbers() -> None:
    base = {report.name: report for report in describe_presets()}["kprism-base"]
    assert (base.total, base.per_expert, base.classes) == (40_460_953, 3_952_146, 33)


def test_iris_is_described_by_module_with_its_axes() -> None:
    reports = {report.name: report for report in describe_presets()}
    base, flat = reports["iris-base"], reports["iris-compact-2d"]
    assert (base.spatial_dims, base.long_side, base.per_expert) == (3, 128, 0)
    assert (flat.spatial_dims, flat.long_side) == (2, 256)
    assert set(base.parameters) == {"encoder", "task_encoder", "decoder", "bank"}
    assert abs(base.total - 69.4e6) < 0.1e6


def test_tpseg_is_described_with_the_eight_tasks_of_its_paper() -> None:
    reports = {report.name: report for report in describe_presets()}
    base = reports["tpseg-base"]
    assert (base.spatial_dims, base.long_side, base.classes, base.per_expert) == (2, 512, 8, 0)
    assert list(base.parameters)[:3] == ["trunk", "adapters", "reductions"]
    assert round(base.parameters["trunk"] / 1e6, 1) == 212.1


def test_counts_by_module_are_those_of_a_real_model() -> None:
    model = KPrism(kprism_nano(7))
    counts = count_parameters(kprism_nano(7))
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())
    for name, part in model.named_children():
        assert counts[name] == sum(parameter.numel() for parameter in part.parameters())


def test_shipped_weights_are_described_with_their_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "shipped_path", lambda name: tmp_path / f"{name}.safetensors")
    info = replace(make_info(), card={"licence": "for research use"})
    digest = save_checkpoint(
        tmp_path / "kprism-nano.safetensors", info, KPrism(kprism_nano(len(CONCEPTS))).state_dict()
    )
    reports = {report.name: report for report in describe_presets()}
    assert list(reports) == [*PRESETS, *IRIS_PRESETS, *SLICE_IRIS_PRESETS, *TPSEG_PRESETS]
    nano = reports["kprism-nano"]
    assert nano.weights is not None
    assert nano.classes == len(CONCEPTS)
    assert nano.weights.weights_hash == digest
    assert nano.weights.licence == "for research use"
    assert nano.weights.num_bytes == (tmp_path / "kprism-nano.safetensors").stat().st_size
    assert [one["name"] for one in nano.weights.training_sets] == ["phantoms"]
    assert reports["kprism-base"].weights is None
    assert json.loads(json.dumps(nano.to_json()))["weights"]["training_sets"][0]["licence"] == "CC0"
