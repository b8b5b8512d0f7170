from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from benchmarks.iris_volumes.cases import cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.task_unet import TaskUNet, UNetLearner, train_unet
from benchmarks.iris_volumes.training import Trained, train
from benchmarks.training_length import Length
from safetensors.torch import load_file

from benchmarks.iris_volumes import training
from medprism.core.errors import ConfigError
from medprism.data.diet import table_of
from medprism.data.volume_episode import VolumeEpisodes
from medprism.training.iris.config import iris_recipe
from tests.data.volume_phantoms import phantom_set

Train = Callable[[Path, Length], Trained]


@pytest.fixture(scope="module")
def learn() -> Train:
    volumes = phantom_set(4)
    concepts = table_of([volumes.info])[0]
    config = replace(iris_recipe("iris-nano", 1), episodes=1)
    episodes = VolumeEpisodes([volumes], concepts, config.episode)

    def run(folder: Path, length: Length) -> Trained:
        return train(
            lambda: UNetLearner(TaskUNet("iris-nano", 2), (0, 1)), episodes, config, length, folder
        )

    return run


def test_what_comes_back_is_the_average_that_is_kept(learn: Train, tmp_path: Path) -> None:
    found = learn(tmp_path, Length(steps=3))
    assert found.steps == 3
    state = load_file(tmp_path / training.STATE_FILE)
    name = "head.weight"
    assert torch.equal(found.weights[name], state[f"average.{name}"])
    assert not torch.equal(found.weights[name], state[f"model.{name}"])


def test_a_training_that_was_stopped_goes_on_bit_for_bit(
    learn: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(tmp_path / "whole", Length(steps=3))
    with monkeypatch.context() as patch:
        patch.setattr(training.Watch, "is_cancelled", lambda self: self.steps >= 1)
        assert learn(tmp_path / "parts", Length(steps=3)).steps < 3
    again = learn(tmp_path / "parts", Length(steps=3))
    assert again.steps == 3
    assert all(torch.equal(again.weights[name], whole.weights[name]) for name in whole.weights)
    with pytest.raises(typer.BadParameter, match="choose another folder"):
        learn(tmp_path / "parts", Length(steps=4))


def test_minutes_become_steps_once(learn: Train, tmp_path: Path) -> None:
    found = learn(tmp_path, Length(minutes=0.01))
    assert found.steps >= 1
    assert learn(tmp_path, Length(minutes=0.01)).steps == found.steps
    with pytest.raises(ConfigError, match="either in steps or in minutes"):
        Length()


def test_a_unet_is_returned_with_its_averaged_weights(data: Path, tmp_path: Path) -> None:
    sets = open_sets([data])
    concepts = table_of_sets(sets)
    (cases,) = cases_of(sets, concepts)
    model, trained = train_unet(cases, concepts, "iris-nano", Length(steps=2), tmp_path)
    assert trained.steps == 2
    assert not model.training
    state = load_file(tmp_path / training.STATE_FILE)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[f"average.{name}"])
    assert any(
        not torch.equal(tensor, state[f"model.{name}"])
        for name, tensor in model.state_dict().items()
    )
