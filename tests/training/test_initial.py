from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medprism.core.errors import CheckpointError
from medprism.models.checkpoint import load_checkpoint, save_checkpoint
from medprism.models.kprism.config import kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.training.initial import CLASS_TENSORS, begin_with
from tests.models.checkpoints import CONCEPTS, make_info, save_nano, tiny_tensors


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "nano.safetensors"
    save_nano(path)
    return path


def test_all_weights_are_taken_over(stored: Path) -> None:
    checkpoint = load_checkpoint(stored)
    model = KPrism(kprism_nano(len(CONCEPTS)))
    begin_with(model, checkpoint)
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in checkpoint.tensors.items())


def test_new_classes_keep_the_weights_they_were_drawn_with(stored: Path) -> None:
    checkpoint = load_checkpoint(stored)
    model = KPrism(kprism_nano(len(CONCEPTS) + 2))
    before = {name: model.state_dict()[name].clone() for name in CLASS_TENSORS}
    begin_with(model, checkpoint)
    for name in CLASS_TENSORS:
        now = model.state_dict()[name]
        assert torch.equal(now[: len(CONCEPTS)], checkpoint.tensors[name])
        assert torch.equal(now[len(CONCEPTS) :], before[name][len(CONCEPTS) :])


@pytest.mark.parametrize("classes", [1, 2])
def test_a_table_that_shrank_is_refused(stored: Path, classes: int) -> None:
    with pytest.raises(CheckpointError, match="classes.content"):
        begin_with(KPrism(kprism_nano(classes)), load_checkpoint(stored))


def test_another_preset_is_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="choose one of the same preset"):
        begin_with(KPrism(kprism_compact(len(CONCEPTS))), load_checkpoint(stored))
    save_checkpoint(tmp_path / "tiny.safetensors", make_info(), tiny_tensors())
    with pytest.raises(CheckpointError, match="cannot begin this run"):
        begin_with(
            KPrism(kprism_nano(len(CONCEPTS))), load_checkpoint(tmp_path / "tiny.safetensors")
        )
