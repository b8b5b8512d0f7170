from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.core.errors import CheckpointError, ConfigError, MedprismError
from medprism.engines.engine import REFERENCE_ENGINE
from medprism.engines.loading import checkpoint_path, load
from medprism.models.catalog import PRESETS
from medprism.models.checkpoint import load_checkpoint, save_checkpoint
from medprism.models.segmenter import Segmenter
from tests.models.checkpoints import CONCEPTS, make_info, save_nano
from tests.models.kprism.questions import answer, draw_question, worst_difference


@pytest.fixture
def threads() -> Iterator[int]:
    """Put the number of threads back."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "nano.safetensors"
    save_nano(path)
    return path


def test_a_path_gives_a_model_that_is_ready(stored: Path) -> None:
    loaded = load(stored)
    assert isinstance(loaded.segmenter, Segmenter)
    assert loaded.name == str(stored)
    assert loaded.long_side == 64
    assert loaded.engine == REFERENCE_ENGINE
    assert loaded.threads == torch.get_num_threads()
    assert loaded.concepts.names == CONCEPTS.names
    assert loaded.weights_hash == load_checkpoint(stored).weights_hash
    assert loaded.card["use"] == "tests"
    assert loaded.card["training"]["sets"][0]["licence"] == "CC0"
    assert loaded.card["metrics"] == {"dice": 0.5}


def test_a_text_path_and_a_named_engine_give_the_same_answers(stored: Path) -> None:
    one, other = load(stored).segmenter, load(str(stored), engine="torch").segmenter
    question = draw_question()
    first = answer(one, question, "refine-semantic")  # type: ignore[arg-type]
    second = answer(other, question, "refine-semantic")  # type: ignore[arg-type]
    assert worst_difference(first, second) == 0.0


def test_threads_are_set_only_when_asked_for(stored: Path, threads: int) -> None:
    assert load(stored).threads == threads
    assert load(stored, threads=1).threads == 1
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("count", [0, -2])
def test_a_thread_count_below_one_is_refused(stored: Path, count: int, threads: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 1, got {count}"):
        load(stored, threads=count)
    assert torch.get_num_threads() == threads


def test_an_unknown_engine_is_refused_with_those_known(stored: Path) -> None:
    with pytest.raises(ConfigError, match="'tpu' is unknown; use auto or torch"):
        load(stored, engine="tpu")


@pytest.mark.parametrize("name", ["kprism-colossal", "nowhere/else.safetensors"])
def test_an_unknown_name_lists_the_presets(name: str) -> None:
    with pytest.raises(CheckpointError, match="kprism-compact") as caught:
        load(name)
    assert repr(name) in str(caught.value)


def test_a_preset_is_found_in_the_package_or_says_that_it_ships_none() -> None:
    for name in PRESETS:
        try:
            path = checkpoint_path(name)
        except CheckpointError as error:
            assert "ships no weights" in str(error)
            continue
        assert load(name).weights_hash == load_checkpoint(path).weights_hash


def test_nothing_but_a_whole_checkpoint_is_loaded(stored: Path, tmp_path: Path) -> None:
    folder, cut, pickled = tmp_path / "folder", tmp_path / "cut", tmp_path / "model.pth"
    folder.mkdir()
    cut.write_bytes(stored.read_bytes()[:-7])
    pickled.write_bytes(pickle.dumps({"weights": [1.0]}))
    for path in (folder, cut, pickled):
        with pytest.raises(CheckpointError, match=str(path)) as caught:
            load(path)
        assert isinstance(caught.value, MedprismError)


@pytest.mark.parametrize("preprocessing", [{}, {"long_side": "64"}, {"long_side": None}])
def test_a_checkpoint_without_a_long_side_is_refused(
    stored: Path, tmp_path: Path, preprocessing: dict[str, object]
) -> None:
    path = tmp_path / "sideless.safetensors"
    info = replace(make_info(), preprocessing=preprocessing)
    save_checkpoint(path, info, load_checkpoint(stored).tensors)
    with pytest.raises(CheckpointError, match="names no long side"):
        load(path)
