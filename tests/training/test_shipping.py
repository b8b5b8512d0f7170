from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from medprism.core.errors import InternalError, WriteError
from medprism.core.preprocess import RULES, IntensityRule
from medprism.data.case import DatasetInfo
from medprism.engines.loading import load
from medprism.models.checkpoint import load_checkpoint
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.training.config import TrainConfig
from medprism.training.shipping import make_info, weights_licence, write_checkpoint
from medprism.training.state import Position
from tests.models.checkpoints import CONCEPTS
from tests.training.runs import small_config

SETS = (
    DatasetInfo("phantoms", "Phantoms", "train", None, {1: "hook"}, "CC0", "yes", "Us (2026)"),
    DatasetInfo("others", "Others", "train", None, {3: "flag"}, None, "unclear"),
)
POSITION = Position(120, 90.0, 0.5)


def _config() -> TrainConfig:
    return small_config(steps=200)


def test_a_checkpoint_knows_everything_that_inference_needs(tmp_path: Path) -> None:
    model = KPrism(kprism_nano(len(CONCEPTS)))
    info = make_info(_config(), CONCEPTS, SETS, POSITION, metrics={"val": {"score": 0.5}})
    digest = write_checkpoint(tmp_path / "n.safetensors", info, model.state_dict())
    loaded = load(tmp_path / "n.safetensors")
    assert loaded.weights_hash == digest
    assert loaded.long_side == 64
    assert loaded.concepts.to_json() == CONCEPTS.to_json()
    assert loaded.card["metrics"] == {"val": {"score": 0.5}}
    stored = load_checkpoint(tmp_path / "n.safetensors")
    assert {tensor.dtype for tensor in stored.tensors.values()} == {torch.float16}
    rules = [IntensityRule.from_json(rule) for rule in stored.info.preprocessing["rules"]]
    assert rules == list(RULES.values())


def test_the_manifest_lists_the_sets_with_licences_and_the_run() -> None:
    training = make_info(_config(), CONCEPTS, SETS, POSITION).training
    assert [(one["name"], one["licence"], one["redistributable"]) for one in training["sets"]] == [
        ("phantoms", "CC0", "yes"),
        ("others", None, "unclear"),
    ]
    assert (training["steps"], training["minutes"]) == (120, 1.5)
    assert TrainConfig.from_json(dict(training["run"])) == _config()


def test_the_card_names_use_and_licence_and_takes_more() -> None:
    failures = {"failures": {"MR": "small vessels"}}
    card = make_info(_config(), CONCEPTS, SETS, POSITION, card=failures).card
    assert "Not a medical device" in card["intended_use"]
    assert card["licence"].startswith("for research use; of 2 training sets 1")
    assert card["failures"] == {"MR": "small vessels"}


def test_weights_are_as_free_as_the_least_free_set() -> None:
    assert weights_licence(SETS[:1]).startswith("Apache-2.0")
    assert "(1 unclear)" in weights_licence(SETS)


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_weights_beyond_16_bits_are_never_written(tmp_path: Path, value: float) -> None:
    model = KPrism(kprism_nano(len(CONCEPTS)))
    weights = model.state_dict()
    weights["classes.content"][0, 0, 0] = value
    info = make_info(_config(), CONCEPTS, SETS, POSITION)
    with pytest.raises(InternalError, match="classes.content"):
        write_checkpoint(tmp_path / "n.safetensors", info, weights)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = KPrism(kprism_nano(len(CONCEPTS))), tmp_path / "n.safetensors"
    path.write_bytes(b"the old one")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match="No space left"):
        write_checkpoint(path, make_info(_config(), CONCEPTS, SETS, POSITION), model.state_dict())
    assert path.read_bytes() == b"the old one"
    assert [one.name for one in tmp_path.iterdir()] == ["n.safetensors"]
