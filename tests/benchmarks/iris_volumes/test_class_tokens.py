from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from benchmarks.iris_volumes.class_tokens import ClassTokenLearner, main

from benchmarks.iris_volumes import class_tokens
from medprism.data.diet import table_of
from medprism.data.volume_episode import VolumeEpisodes
from medprism.models.iris.config import iris_nano
from medprism.models.zoo.class_token import ClassTokens
from medprism.training.iris.config import iris_recipe
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke, must_not_run
from tests.data.volume_phantoms import phantom_set


def test_the_reference_of_an_episode_is_not_looked_at() -> None:
    volumes = phantom_set(4)
    concepts = table_of([volumes.info])[0]
    drawn = VolumeEpisodes([volumes], concepts, iris_recipe("iris-nano", 1).episode).draw(1, 0, 0)
    torch.manual_seed(1)
    learner = ClassTokenLearner(ClassTokens(iris_nano(len(concepts))))
    before = learner.study(drawn)
    drawn.reference_image[:] = 0
    drawn.reference_masks[:] = False
    assert torch.equal(learner.study(drawn).loss, before.loss)
    drawn.image[:] = 0
    assert not torch.equal(learner.study(drawn).loss, before.loss)


def test_all_classes_of_all_sets_come_from_one_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--data", data, "--out", tmp_path, "--steps", 2, "--preset", "iris-nano"]
    status, printed = invoke(main, *asked)
    assert status == 0, printed
    rows = json.loads((tmp_path / "class_tokens.json").read_text())["rows"]
    assert set(rows["phantoms | class tokens, 2 steps"]["value"]) == CLASSES
    assert (tmp_path / "class_tokens.md").read_text() in printed
    # What is there is neither trained nor measured again.
    monkeypatch.setattr(class_tokens, "read_ground", must_not_run)
    assert invoke(main, *asked)[0] == 0
    status, printed = invoke(main, *asked[:-3], 3, *asked[-2:])
    assert status == 2
    assert "steps 2, not 3" in " ".join(printed.replace("│", " ").split())
