from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medprism.core.errors import CheckpointError
from medprism.engines.engine import ENGINES, Engine
from medprism.engines.loading import load
from medprism.engines.torch_engine import TorchSegmenter
from medprism.engines.verdict import (
    LEAST_IMAGES,
    Trial,
    Verdict,
    choose_engine,
    read_verdict,
    verdict_path,
    write_verdict,
)
from tests.models.checkpoints import save_nano

FAIR = Verdict(
    weights_hash="a" * 64,
    threads=1,
    images=LEAST_IMAGES,
    clicks=5,
    trials=(
        Trial("torch", 90.0, {"one": 1.0, "two": 1.0}),
        Trial("torch-bf16", 30.0, {"one": 0.999, "two": 0.996}),
        Trial("openvino", 20.0, {"one": 1.0, "two": 0.994}),
    ),
)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDPRISM_CACHE", str(tmp_path))


def test_without_a_check_the_reference_is_taken_and_the_way_to_one_is_named() -> None:
    choice = choose_engine(FAIR.weights_hash, 1)
    assert choice.engine == "torch"
    assert "medprism engines check" in choice.reason


def test_the_fastest_is_taken_of_those_whose_worst_set_agrees() -> None:
    path = write_verdict(FAIR)
    assert read_verdict(path) == FAIR
    choice = choose_engine(FAIR.weights_hash, 1)
    assert choice.engine == "torch-bf16"
    assert "3.00 x the speed of torch" in choice.reason
    assert "0.9960" in choice.reason
    assert choose_engine(FAIR.weights_hash, 2).engine == "torch"
    assert choose_engine("b" * 64, 1).engine == "torch"


def test_too_few_images_decide_nothing() -> None:
    write_verdict(replace(FAIR, images=LEAST_IMAGES - 1))
    choice = choose_engine(FAIR.weights_hash, 1)
    assert choice.engine == "torch"
    assert f"{LEAST_IMAGES - 1} images" in choice.reason


def test_an_engine_that_is_gone_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    write_verdict(FAIR)
    gone = Engine("gone", ENGINES["torch"].make, lambda: "it was removed")
    monkeypatch.setitem(ENGINES, "torch-bf16", gone)
    choice = choose_engine(FAIR.weights_hash, 1)
    assert (choice.engine, "it was removed" in choice.reason) == ("torch", True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-9],
        lambda text: text.replace('"torch"', '"abacus"'),
        lambda text: text.replace("90.0", '"soon"'),
        lambda text: text.replace('"images"', '"pictures"'),
    ],
)
def test_a_damaged_verdict_is_named_and_not_obeyed(damage: object) -> None:
    path = write_verdict(FAIR)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    choice = choose_engine(FAIR.weights_hash, 1)
    assert choice.engine == "torch"
    assert str(path) in choice.reason


def test_a_verdict_without_the_reference_is_refused() -> None:
    path = write_verdict(replace(FAIR, trials=FAIR.trials[1:]))
    with pytest.raises(CheckpointError, match="no whole verdict"):
        read_verdict(path)


def test_loading_obeys_the_verdict_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "nano.safetensors"
    save_nano(path)
    plain = load(path)
    assert (plain.engine, bool(plain.engine_reason)) == ("torch", True)
    verdict = replace(FAIR, weights_hash=plain.weights_hash, threads=plain.threads)
    write_verdict(verdict)
    loaded = load(path)
    assert loaded.engine == "torch-bf16"
    assert isinstance(loaded.segmenter, TorchSegmenter)
    assert "checked" in loaded.engine_reason
    assert load(path, engine="torch").engine == "torch"
    assert verdict_path(plain.weights_hash, plain.threads).is_file()
