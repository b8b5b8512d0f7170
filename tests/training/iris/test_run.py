from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.core.errors import CheckpointError, ConfigError, LabelError, StoreError
from medprism.evaluation.iris_validation import make_sliding_validate
from medprism.models.catalog import build_iris
from medprism.models.checkpoint import load_checkpoint
from medprism.training.iris.run import IrisOrder, IrisRecord, IrisRun, is_iris_run
from tests.data.volume_phantoms import write_phantom_set
from tests.training.runs import Notes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_phantom_set(tmp_path / "data" / "phantoms", 4)


def test_a_run_is_started_stopped_and_gone_on_with(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    order = IrisOrder(preset="iris-nano", data=(data,), steps=2, seed=5)
    run = IrisRun.start(folder, order)
    assert is_iris_run(folder)
    assert IrisRecord.load(folder).config == run.record.config
    assert run.record.config.seed == 5
    validate = run.validator(make_sliding_validate)
    assert run.train(validate, Notes(stop_after=1), Notes(stop_after=1)).step == 1
    position = IrisRun.resume(folder).train(validate, Notes(), Notes())
    assert position.step == 2
    for name in ("best.safetensors", "last.safetensors"):
        checkpoint = load_checkpoint(folder / name)
        model = build_iris(checkpoint)
        assert checkpoint.info.concepts.names == ("bright hook", "dark bar")
        assert checkpoint.info.preprocessing["spacing_mm"] == {"phantoms": 1.25}
        assert int(model.bank.count.sum()) > 0
        assert checkpoint.info.card["licence"].startswith("Apache")
    assert checkpoint.info.training["steps"] == 2
    with pytest.raises(ConfigError, match="holds a run already"):
        IrisRun.start(folder, order)


def test_a_run_begins_with_the_weights_and_bank_of_another(data: Path, tmp_path: Path) -> None:
    first = IrisOrder(preset="iris-nano", data=(data,), steps=1)
    IrisRun.start(tmp_path / "first", first).train(None, Notes(), Notes())
    path = tmp_path / "first" / "last.safetensors"
    second = IrisRun.start(tmp_path / "second", replace(first, steps=2, start=path))
    stored, model = load_checkpoint(path).tensors, second.first_learner().model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, stored[name].to(tensor.dtype)), name
    assert second.train(None, Notes(stop_after=1), Notes(stop_after=1)).step == 1
    # What goes on does so from its own state, also where the checkpoint is gone.
    path.unlink()
    assert IrisRun.resume(tmp_path / "second").train(None, Notes(), Notes()).step == 2


def test_a_checkpoint_of_other_classes_cannot_begin_a_run(data: Path, tmp_path: Path) -> None:
    few = IrisOrder(preset="iris-nano", data=(data,), steps=1, without=("dark bar",))
    IrisRun.start(tmp_path / "few", few).train(None, Notes(), Notes())
    both = replace(few, without=(), start=tmp_path / "few" / "last.safetensors")
    with pytest.raises(CheckpointError, match="choose one of the same sets"):
        IrisRun.start(tmp_path / "both", both)


def test_volumes_that_changed_are_no_longer_the_run_s(data: Path, tmp_path: Path) -> None:
    run = IrisRun.start(tmp_path / "run", IrisOrder(preset="iris-nano", data=(data,), steps=1))
    assert run.validator(None) is None
    assert run.validator(make_sliding_validate) is not None
    described = json.loads((data / "dataset.json").read_text())
    described["split"] = {**described["split"], "train": ["case0", "case1", "case2"], "val": []}
    (data / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(StoreError, match="have changed"):
        IrisRun.resume(tmp_path / "run")
    with pytest.raises(ConfigError, match="no preset"):
        IrisRun.start(tmp_path / "no", IrisOrder(preset="iris-x", data=(data,), steps=1))


def test_classes_can_be_kept_from_a_run(data: Path, tmp_path: Path) -> None:
    order = IrisOrder(preset="iris-nano", data=(data,), steps=1, without=("dark bar",))
    run = IrisRun.start(tmp_path / "run", order)
    assert run.record.concepts.names == ("bright hook",)
    with pytest.raises(LabelError, match="liver"):
        IrisRun.start(
            tmp_path / "two",
            IrisOrder(preset="iris-nano", data=(data,), steps=1, without=("liver",)),
        )
    both = IrisOrder(preset="iris-nano", data=(data,), steps=1, without=("dark bar", "bright hook"))
    with pytest.raises(ConfigError, match="nothing is left"):
        IrisRun.start(tmp_path / "three", both)


def test_minutes_become_steps_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medprism.training.iris.timing.TIMED_STEPS", 1)
    order = IrisOrder(preset="iris-nano", data=(data,), minutes=30.0, seed=5)
    run = IrisRun.start(tmp_path / "run", order, make_sliding_validate)
    timing = run.record.timing
    assert (timing["minutes"], run.record.config.seed) == (30.0, 5)
    spent = timing["seconds_timing"] + 12 * timing["seconds_per_validation"]
    expected = 0.97 * (30 * 60 - spent) / timing["seconds_per_step"]
    assert abs(run.record.config.steps - expected) <= 1
    assert IrisRecord.load(tmp_path / "run").config == run.record.config
    with pytest.raises(ConfigError, match="either in steps or in minutes"):
        IrisOrder(preset="iris-nano", data=(data,))
