from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medprism.core.errors import CheckpointError
from medprism.models.catalog import (
    ARCHITECTURES,
    IRIS_PRESETS,
    PRESETS,
    SLICE_IRIS_PRESETS,
    build_from_checkpoint,
    build_iris,
    load_weights,
)
from medprism.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, to_half
from medprism.models.iris.config import iris_nano
from medprism.models.iris.model import Iris
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Segmenter

from .checkpoints import make_info, save_nano, tiny_tensors
from .kprism.questions import KINDS, answer, draw_question, worst_difference


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> tuple[KPrism, Checkpoint]:
    path = tmp_path_factory.mktemp("nano") / "nano.safetensors"
    model = save_nano(path)
    return model, load_checkpoint(path)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_and_answers(name: str) -> None:
    preset = PRESETS[name]
    assert preset.architecture in ARCHITECTURES
    assert preset.long_side % 16 == 0
    with torch.device("meta"):
        model = ARCHITECTURES[preset.architecture](preset.config(5).to_json())
        assert isinstance(model, Segmenter)
        question = draw_question(preset.long_side, preset.long_side, refs=1, clicks=1, concepts=1)
        question = question.map(torch.zeros_like)
        for kind in ("semantic", "refine-in-context"):
            shape = answer(model, question, kind).logits.shape
            assert shape[0] == 2 and preset.long_side % shape[1] == 0


@pytest.mark.parametrize("name", [*IRIS_PRESETS, *SLICE_IRIS_PRESETS])
def test_every_preset_of_iris_builds_and_answers(name: str) -> None:
    preset = {**IRIS_PRESETS, **SLICE_IRIS_PRESETS}[name]
    config = preset.config(5)
    assert preset.architecture == ("iris" if config.body.ndim == 3 else "iris-2d")
    with torch.device("meta"):
        model = Iris(type(config).from_json(json.loads(json.dumps(config.to_json()))))
        assert model.config == config
        size = (preset.long_side,) * config.body.ndim
        image = torch.zeros(1, config.body.channels, *size)
        features = model.encode(image)
        tasks = model.encode_references(image, torch.zeros(1, 3, *size))
        assert model.decode(features, tasks).shape == (1, 3, *size)


def test_a_stored_iris_answers_like_the_one_that_was_saved(tmp_path: Path) -> None:
    model = Iris(iris_nano(3)).eval()
    image, masks = torch.randn(1, 1, 16, 32, 32), torch.zeros(1, 2, 16, 32, 32)
    masks[:, 0, 3:8, 4:20, 9:12], masks[:, 1, 9:14, 20:26, 3:9] = 1, 1
    with torch.no_grad():
        model.remember(torch.tensor([[2, 0]]), model.encode_references(image, masks))
    path = tmp_path / "iris.safetensors"
    info = replace(make_info(), architecture="iris", config=iris_nano(3).to_json())
    save_checkpoint(path, info, model.state_dict())
    built = build_iris(load_checkpoint(path))
    known = torch.tensor([[0, 2]])
    with torch.no_grad():
        ours = built.segment(image, built.recall(known))
        assert torch.equal(ours, model.segment(image, model.recall(known)))
    refuse(load_checkpoint(path), "'iris'; this program knows kprism")


def test_another_model_is_no_iris(nano: tuple[KPrism, Checkpoint]) -> None:
    with pytest.raises(CheckpointError, match="'kprism', not 'iris'"):
        build_iris(nano[1])
    odd = replace(make_info(), architecture="iris", config={"body": {}})
    with pytest.raises(CheckpointError, match="unusable settings"):
        build_iris(replace(nano[1], info=odd))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_model_answers_like_the_one_that_was_saved(
    nano: tuple[KPrism, Checkpoint], kind: str
) -> None:
    model, checkpoint = nano
    built = build_from_checkpoint(checkpoint)
    assert not built.training
    question = draw_question()
    assert worst_difference(answer(model, question, kind), answer(built, question, kind)) == 0.0


def test_half_precision_weights_run_as_float32(nano: tuple[KPrism, Checkpoint]) -> None:
    model, checkpoint = nano
    halves = replace(checkpoint, tensors=to_half(checkpoint.tensors))
    built = build_from_checkpoint(halves)
    for name, tensor in built.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, halves.tensors[name].float())
    question = draw_question()
    logits = answer(built, question, "semantic").logits
    drift = (logits - answer(model, question, "semantic").logits).abs().mean()
    assert 0 < float(drift.detach()) < 0.02


def refuse(checkpoint: Checkpoint, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        build_from_checkpoint(checkpoint)


def test_a_checkpoint_of_another_architecture_is_refused(
    nano: tuple[KPrism, Checkpoint],
) -> None:
    other = replace(nano[1], info=make_info(architecture="iris"))
    refuse(other, "'iris'; this program knows kprism")


def test_a_checkpoint_of_another_model_is_refused(
    nano: tuple[KPrism, Checkpoint], tmp_path: Path
) -> None:
    refuse(replace(nano[1], tensors=tiny_tensors()), "belongs to another model")
    tensors = dict(nano[1].tensors)
    del tensors["decoder.level"]
    refuse(replace(nano[1], tensors=tensors), r"1 tensors differ, first decoder\.level")
    wider = {**nano[1].tensors, "decoder.level": torch.zeros(3, 64)}
    refuse(replace(nano[1], tensors=wider), r"first decoder\.level")
    path = tmp_path / "compact.safetensors"
    info = replace(make_info(), config=PRESETS["kprism-compact"].config(3).to_json())
    save_checkpoint(path, info, nano[1].tensors)
    refuse(load_checkpoint(path), "belongs to another model")


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"num_concepts": "3"},
        {"num_concepts": 10**12},
        {"decoder": {"dim": 31}},
        {"decoder": None},
        {"mask_encoder": {"widths": [8, 16], "blocks": [1, 1]}},
        {"image_encoder": {"widths": [8, 16, 32, -48], "blocks": [1, 1, 1, 1]}},
        {"prompt_widths": 5},
    ],
)
def test_unusable_settings_are_refused(
    nano: tuple[KPrism, Checkpoint], damage: dict[str, Any]
) -> None:
    config = {**make_info().config, **damage} if damage else {}
    refuse(replace(nano[1], info=replace(make_info(), config=config)), "unusable settings")


def test_a_concept_table_of_another_length_is_refused(nano: tuple[KPrism, Checkpoint]) -> None:
    config = {**make_info().config, "num_concepts": 4}
    refuse(
        replace(nano[1], info=replace(make_info(), config=config)),
        "names 3 concepts for a class table of 4",
    )


def test_weights_are_copied_not_shared(nano: tuple[KPrism, Checkpoint]) -> None:
    model, checkpoint = nano
    built = build_from_checkpoint(checkpoint)
    with torch.no_grad():
        built.decoder.level.zero_()
    assert float(checkpoint.tensors["decoder.level"].abs().max()) > 0
    load_weights(built, checkpoint)
    assert torch.equal(built.decoder.level, model.decoder.level)
