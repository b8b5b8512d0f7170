from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from medprism.core.errors import CheckpointError, FormatVersionError
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.training.loop import STATE_FILE
from medprism.training.optim import make_optimizer
from medprism.training.state import (
    FORMAT,
    Position,
    average_of,
    load_state,
    read_document,
    save_state,
    update_average,
)

from .runs import everything, make_nano, run, same, small_config


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state after two steps."""
    folder = tmp_path_factory.mktemp("state")
    run(folder, small_config(), stop_after=2)
    return folder / STATE_FILE


def load(path: Path, model: torch.nn.Module | None = None) -> Position:
    model = make_nano() if model is None else model
    optimizer = make_optimizer(model, small_config())
    return load_state(path, small_config(), model, average_of(model), optimizer)


def rewrite(saved: Path, path: Path, **changes: Any) -> None:  # noqa: ANN401
    """Write the state with other entries in its document; None removes one."""
    document = {**read_document(saved), **changes}
    kept = {name: value for name, value in document.items() if value is not None}
    save_file(load_file(saved), str(path), {"medprism": json.dumps(kept)})


def test_a_state_comes_back_as_it_was_saved(saved: Path, tmp_path: Path) -> None:
    model = make_nano(seed=5)
    average, optimizer = average_of(model), make_optimizer(model, small_config())
    position = load_state(saved, small_config(), model, average, optimizer)
    assert position.step == 2 and position.seconds > 0
    assert position.best is None and position.history == ()
    again = tmp_path / STATE_FILE
    told = Position(2, 1.5, 0.75, ({"step": 2, "score": 0.75},))
    save_state(again, small_config(), told, model, average, optimizer)
    assert same(everything(tmp_path, small_config()), everything(saved.parent, small_config()))
    assert load(again) == told
    assert read_document(again)["config"] == json.loads(json.dumps(small_config().to_json()))


def test_a_state_of_other_settings_is_refused(saved: Path) -> None:
    model, other = make_nano(), small_config(peak_rate=0.5)
    with pytest.raises(CheckpointError, match=r"peak_rate .*, not 0\.5"):
        load_state(saved, other, model, average_of(model), make_optimizer(model, other))


def test_a_parameter_that_was_never_asked_has_no_moments(tmp_path: Path) -> None:
    clicks_alone = small_config(odds=(0.0, 0.0, 1.0))
    run(tmp_path, clicks_alone, stop_after=1)
    tensors = load_file(tmp_path / STATE_FILE)
    moments = {name.split(".", 2)[2] for name in tensors if name.startswith("optimizer.exp_avg.")}
    assert "clicks.label" in moments
    assert "classes.content" not in moments and "context.content" not in moments
    model = make_nano()
    optimizer = make_optimizer(model, clicks_alone)
    path = tmp_path / STATE_FILE
    assert load_state(path, clicks_alone, model, average_of(model), optimizer).step == 1


def test_the_file_carries_format_and_version(saved: Path) -> None:
    with safe_open(str(saved), framework="pt") as stored:
        document = json.loads(stored.metadata()["medprism"])
    assert (document["format"], document["version"]) == (FORMAT, 1)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_truncated_state_is_refused(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    length = data.draw(st.one_of(st.integers(0, header), st.integers(header, len(content) - 1)))
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    path.write_bytes(content[:length])
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        load(path)


@pytest.mark.parametrize("text", ["", "[", "[]", "7", "{}", '{"format": "other"}'])
def test_another_file_is_no_state(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, str(path), {"medprism": text})
    with pytest.raises(CheckpointError, match="not a training state"):
        load(path)
    save_file({"x": torch.zeros(1)}, str(path))
    with pytest.raises(CheckpointError, match="not a training state"):
        load(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_a_newer_state_is_refused(saved: Path, tmp_path: Path, version: object) -> None:
    path = tmp_path / "newer.safetensors"
    rewrite(saved, path, version=version)
    with pytest.raises(FormatVersionError, match="update medprism"):
        load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("step", None), ("step", "2"), ("seconds", []), ("best", "x"), ("history", {}), ("config", 1)],
)
def test_an_odd_document_is_refused(saved: Path, tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "odd.safetensors"
    rewrite(saved, path, **{field: value})
    with pytest.raises(CheckpointError, match=f"no usable {field}"):
        load(path)


@pytest.mark.parametrize(
    "name",
    [
        "model.decoder.level",
        "average.decoder.level",
        "optimizer.exp_avg.decoder.level",
        "optimizer.step.decoder.level",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "of another shape"])
def test_a_state_that_does_not_fit_is_refused(
    saved: Path, tmp_path: Path, name: str, damage: str
) -> None:
    tensors = load_file(saved)
    document = {"medprism": json.dumps(read_document(saved))}
    del tensors[name]
    if damage != "missing":
        tensors[name] = torch.zeros(4, 4)
    path = tmp_path / "odd.safetensors"
    save_file(tensors, str(path), document)
    with pytest.raises(CheckpointError, match=f"1 tensors differ, first {re.escape(name)}"):
        load(path)


def test_a_state_of_another_model_is_refused_and_the_model_left_alone(saved: Path) -> None:
    other = KPrism(kprism_nano(9))
    before = average_of(other)
    with pytest.raises(CheckpointError, match="does not fit this model"):
        load(saved, other)
    assert same(before, average_of(other))


def test_the_average_forgets_its_start_and_follows_the_weights() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = average_of(module)
    expected = {name: tensor.double() for name, tensor in average.items()}
    rng = torch.Generator().manual_seed(2)
    for step in range(40):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
            module[1].num_batches_tracked += 1
        update_average(average, module, step, 0.8)
        keep = min(0.8, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            expected[name] = keep * expected[name] + (1 - keep) * tensor.double()
    for name, tensor in average.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor.double(), expected[name], atol=1e-5), name
    assert average["1.num_batches_tracked"].item() == 40


def test_the_average_shares_no_memory_with_the_model() -> None:
    module = torch.nn.Linear(2, 2)
    average = average_of(module)
    with torch.no_grad():
        module.weight.fill_(7)
    assert not average["weight"].eq(7).any()
