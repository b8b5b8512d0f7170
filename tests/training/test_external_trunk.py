"""A run that begins with a trunk of SAM 2's layout: kept as it is, and told in the checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medprism.core.errors import CheckpointError, ConfigError
from medprism.data.preparation import PrepareConfig, prepare
from medprism.evaluation.task_validation import make_task_validate
from medprism.models.catalog import TPSEG_PRESETS, build_tpseg
from medprism.models.checkpoint import Checkpoint, load_checkpoint
from medprism.models.tpseg.external import OFFICIAL_TRUNKS, read_trunk
from medprism.models.tpseg.model import TPSeg
from medprism.training.config import PhaseConfig, PretrainedTrunk, TrainConfig, TrunkOrigin
from medprism.training.external_trunk import (
    choose_trunk,
    describe_trunk,
    model_settings,
    task_settings,
)
from medprism.training.recipes import RECIPES
from medprism.training.run import BEST, LAST, Run
from medprism.training.run_order import RunOrder
from medprism.training.run_record import RunRecord
from tests.data.phantoms import write_dataset
from tests.models.tpseg.official import NANO, draw_tensors, write_official

from .runs import Notes

STEPS = 4
NAME = "our_hiera.safetensors"
ORIGIN = TrunkOrigin(
    file="sam2_hiera_large.safetensors",
    shape="sam2_hiera_large",
    weights_hash="ab" * 32,
    settings=OFFICIAL_TRUNKS["sam2_hiera_large"],
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    cases = [f"p{patient}_z{number * 4:03d}" for patient in range(3) for number in range(2)]
    split = {"test": cases[:2], "val": cases[2:4], "train": cases[4:]}
    write_dataset(root / "grey", num_patients=3, slices=2, split=split)
    prepare([root / "grey"], root / "store", PrepareConfig(workers=1))
    return root / "store"


def order(store: Path, trunk: Path | None, **changes: Any) -> RunOrder:  # noqa: ANN401
    made = RunOrder(
        recipe="tpseg-nano", store=store, steps=STEPS, tasks=("big comma",), trunk=trunk
    )
    return replace(made, **changes)


def go(run: Run, stop_after: int | None = None) -> Notes:
    notes = Notes(stop_after)
    run.train(run.validator(make_task_validate), notes, notes)
    return notes


def trunk_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("trunk."): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("trunk.")
    }


@pytest.fixture(scope="module")
def first(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run on one task, without a stop, and its trunk's file beside it."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    trunk = write_official(root / NAME, draw_tensors(NANO))
    go(Run.start(root / "first", order(store, trunk), make_task_validate))
    return root / "first"


def test_the_trunk_of_a_file_is_kept_and_the_rest_learns(first: Path) -> None:
    last = load_checkpoint(first / LAST)
    given = read_trunk(first.parent / NAME, {"tpseg-nano": NANO.ours()})
    kept = trunk_of(last)
    assert kept.keys() == given.tensors.keys()
    assert all(torch.equal(kept[name], given.tensors[name].half()) for name in kept)
    ups = [name for name in last.tensors if name.startswith("adapters.") and name.endswith(".up")]
    assert ups
    assert all(bool(last.tensors[name].any()) for name in ups if "own" in name)
    config = RunRecord.load(first).config
    assert config.phases == PhaseConfig(joint_share=0.0)
    assert config.trunk is not None
    assert config.trunk.weights_hash == given.weights_hash


def test_the_checkpoint_says_where_its_trunk_came_from_and_needs_the_file_no_more(
    first: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved.safetensors").write_bytes((first / BEST).read_bytes())
    best = load_checkpoint(tmp_path / "moved.safetensors")
    said = best.info.card["trunk"]
    assert (said["name"], said["shape"]) == (NAME, "tpseg-nano")
    assert said["hash"] == RunRecord.load(first).config.trunk.weights_hash
    assert said["licence"] == "not stated by its file"
    assert best.info.card["licence"].endswith("; the trunk's: not stated by its file")
    model = build_tpseg(best)
    assert model.config.trunk == NANO.ours()
    assert model.config == replace(TPSEG_PRESETS["tpseg-nano"].config(1), trunk=NANO.ours())


def test_the_card_names_the_licence_of_sam_2() -> None:
    said = describe_trunk(ORIGIN)
    assert said["licence"] == "Apache-2.0 (that of SAM 2's weights, whose shape it has)"
    assert "SAM 2" in said["origin"] and "Meta Platforms" in said["origin"]
    assert ORIGIN.file in said["origin"]


def test_stopping_and_going_on_gives_the_same_weights_without_the_file(
    store: Path, first: Path, tmp_path: Path
) -> None:
    trunk = tmp_path / NAME
    trunk.write_bytes((first.parent / NAME).read_bytes())
    go(Run.start(tmp_path / "parts", order(store, trunk), make_task_validate), stop_after=1)
    trunk.unlink()
    go(Run.resume(tmp_path / "parts"))
    one, other = (load_checkpoint(folder / LAST) for folder in (first, tmp_path / "parts"))
    assert one.weights_hash == other.weights_hash


def test_a_file_that_changed_before_the_first_state_is_refused(store: Path, tmp_path: Path) -> None:
    trunk = write_official(tmp_path / NAME, draw_tensors(NANO))
    Run.start(tmp_path / "run", order(store, trunk), None)
    write_official(trunk, draw_tensors(NANO, seed=8))
    with pytest.raises(CheckpointError, match="put that file back, or start a new run"):
        go(Run.resume(tmp_path / "run"))
    trunk.unlink()
    with pytest.raises(CheckpointError, match="no trunk at"):
        go(Run.resume(tmp_path / "run"))


def test_a_task_that_is_added_keeps_trunk_and_old_answers_bit_for_bit(
    store: Path, first: Path, tmp_path: Path
) -> None:
    run = Run.start(
        tmp_path / "added",
        order(store, None, tasks=(), added=("small comma",), start=first / LAST, steps=2),
        make_task_validate,
    )
    go(run)
    before, after = (load_checkpoint(folder / LAST) for folder in (first, tmp_path / "added"))
    old, new = build_tpseg(before), build_tpseg(after)
    assert new.config.trunk == NANO.ours()
    assert after.info.card["trunk"] == before.info.card["trunk"]
    assert "began with weights under" in after.info.card["licence"]
    assert run.record.config.phases == PhaseConfig(joint_share=0.0, kept_rows=1)
    image, task = torch.randn(2, 3, 64, 96), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        assert torch.equal(old(image, task).logits, new(image, task).logits)


def test_a_checkpoint_that_hides_its_trunk_cannot_begin_a_run(first: Path) -> None:
    found, config = load_checkpoint(first / LAST), RECIPES["tpseg-nano"](STEPS)
    assert choose_trunk(None, found, config).trunk == RunRecord.load(first).config.trunk
    stated = _stated(found)
    for damage in (7, {}, {"file": "a"}, {**stated, "odd": 1}, {**stated, "file": 3}):
        training = {**found.info.training, "run": {"trunk": damage}}
        broken = replace(found, info=replace(found.info, training=training))
        with pytest.raises(CheckpointError, match="does not say which trunk it has"):
            choose_trunk(None, broken, config)


def _stated(checkpoint: Checkpoint) -> dict[str, Any]:
    stated: dict[str, Any] = checkpoint.info.training["run"]["trunk"]
    return stated


def test_without_a_trunk_of_others_nothing_changes() -> None:
    config = RECIPES["tpseg-base"](STEPS)
    assert choose_trunk(None, None, config) == config
    for recipe in ("tpseg-base", "kprism-nano", "iris-nano-2d"):
        named = RECIPES[recipe](STEPS)
        settings = model_settings(named, 3)
        assert settings.num_concepts == 3
    changed = replace(config, trunk=ORIGIN)
    settings = model_settings(changed, 3)
    assert settings == replace(TPSEG_PRESETS["tpseg-base"].config(3), trunk=ORIGIN.settings)


def test_the_origin_survives_json_and_a_damaged_one_is_refused() -> None:
    config = replace(RECIPES["tpseg-base"](STEPS), trunk=ORIGIN, pretrained=PretrainedTrunk())
    payload = json.loads(json.dumps(config.to_json()))
    assert TrainConfig.from_json(payload) == config
    del payload["trunk"]["weights_hash"]
    with pytest.raises(ConfigError, match="origin of a trunk is incomplete or unknown"):
        TrainConfig.from_json(payload)


@pytest.mark.parametrize(
    ("recipe", "change", "says"),
    [
        ("kprism-nano", {}, "--trunk is for the recipes of TP-Seg"),
        ("iris-nano-2d", {}, "--trunk is for the recipes of TP-Seg"),
        ("tpseg-nano", {"start": Path("old")}, "has its trunk already"),
        ("tpseg-nano", {"start": Path("old"), "added": ("a",)}, "has its trunk already"),
    ],
)
def test_what_does_not_go_with_a_trunk_is_refused(
    recipe: str, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        RunOrder(recipe=recipe, store=Path("s"), steps=3, trunk=Path("sam2"), **change)


@pytest.mark.parametrize("shape", OFFICIAL_TRUNKS)
def test_a_preset_takes_the_trunk_of_every_size(shape: str) -> None:
    origin = replace(ORIGIN, shape=shape, settings=OFFICIAL_TRUNKS[shape])
    config = replace(RECIPES["tpseg-nano"](STEPS), trunk=origin)
    with torch.device("meta"):
        model = TPSeg(task_settings(config, 2))
    assert model.trunk.inputs[-1] == 8 * OFFICIAL_TRUNKS[shape].embed
    own = TPSEG_PRESETS["tpseg-nano"].config(2).decoder
    assert model.config.decoder == own
