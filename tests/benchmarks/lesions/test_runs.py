from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.lesions.asked import SeparateModels
from benchmarks.lesions.methods import ABLATIONS, METHODS, RIVALS, SIZES
from benchmarks.lesions.runs import RUNS, Trained, read_run, train_method
from benchmarks.training_length import Length

from benchmarks.lesions import runs
from medprism.core.errors import ConfigError, StoreError
from medprism.data.preparation import PrepareConfig, prepare
from medprism.models.tpseg.model import TPSeg
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.timing import Timing

from .phantoms import GREY, TASKS, Patience, by_task, order, write_named


def trained(store: Path, out: Path, method: str, **changes: object) -> Trained:
    asked = order(store, method, **changes)
    assert train_method(asked, out, Patience())
    run = read_run(out / RUNS / asked.name)
    assert run is not None
    return run


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_answers_by_task(store: Path, tmp_path: Path, method: str) -> None:
    run = trained(store, tmp_path, method)
    assert run.name == f"{method}@2steps"
    assert set(run.concepts.names) == set(TASKS)
    assert run.facts["steps"] == 2
    assert run.facts["models"] == (2 if METHODS[method].is_separate else 1)
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        answers = [run.model(image, by_task(2, task)).logits for task in (0, 1)]
    assert all(answer.shape == (2, 64, 96) and answer.isfinite().all() for answer in answers)
    assert not torch.equal(*answers)


def test_all_methods_are_in_one_of_the_comparisons() -> None:
    assert set(RIVALS) | set(ABLATIONS) == set(METHODS)


def test_ablations_differ_in_what_their_names_say(store: Path) -> None:
    nano = SIZES["tpseg-nano"]
    settings = {}
    for name in ABLATIONS:
        model = METHODS[name].build(nano, 2)
        assert isinstance(model, TPSeg)
        settings[name] = (model.config.adapter, model.config.prototype_mode)
    assert settings == {
        "tpseg": ("dual", "ema"),
        "tpseg-shared": ("shared", "ema"),
        "tpseg-task": ("task", "ema"),
        "tpseg-learned": ("dual", "learned"),
        "tpseg-frozen": ("dual", "frozen"),
    }


@pytest.mark.parametrize("method", ["spider", "unet-per-task"])
def test_stopping_and_going_on_gives_the_same_weights(
    store: Path, tmp_path: Path, method: str
) -> None:
    asked = order(store, method)
    whole = trained(store, tmp_path / "whole", method)
    for _ in range(whole.facts["models"]):
        is_last = train_method(asked, tmp_path / "parts", Patience(1))
    # Each of the two models of a task takes one step; one model takes two.
    assert is_last == METHODS[method].is_separate
    if not is_last:
        assert read_run(tmp_path / "parts" / RUNS / asked.name) is None
    again = trained(store, tmp_path / "parts", method)
    assert again.weights_hash == whole.weights_hash
    assert trained(store, tmp_path / "seed", method, seed=5).weights_hash != whole.weights_hash


def test_minutes_become_steps_once_and_are_shared_among_models(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []

    def time_nothing(*arguments: object, **settings: object) -> Timing:
        timed.append(arguments)
        return Timing((0.5,), 1.0)

    monkeypatch.setattr(runs, "time_steps", time_nothing)
    asked = order(store, "unet-per-task", length=Length(minutes=0.05))
    assert train_method(asked, tmp_path, Patience())
    assert train_method(asked, tmp_path, Patience())
    folders = sorted((tmp_path / RUNS / "unet-per-task@0.05min").glob(f"*/{RUN_FILE}"))
    records = [RunRecord.load(path.parent) for path in folders]
    # 0.97 of the two seconds that are left are three steps: one for each of two models.
    assert [record.config.steps for record in records] == [1, 1]
    assert [record.concepts.names for record in records] == [(name,) for name in TASKS]
    assert len(timed) == 1


def test_runs_that_do_not_fit_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no method 'unett'; there is tpseg"):
        order(store, "unett")
    with pytest.raises(ConfigError, match="no preset 'nano'"):
        order(store, preset="nano")
    asked = order(store, steps=1)
    assert train_method(asked, tmp_path, Patience())
    other = order(store, steps=1, preset="tpseg-compact")
    with pytest.raises(ConfigError, match="of the size of tpseg-nano"):
        train_method(other, tmp_path, Patience())
    moved = write_named(tmp_path / "sets" / GREY, patients=3, split={"test": 1, "train": 2})
    prepare([moved], tmp_path / "store", PrepareConfig(workers=1))
    with pytest.raises(StoreError, match="has changed since"):
        train_method(order(tmp_path / "store", steps=1), tmp_path, Patience())


def test_separate_models_answer_for_their_own_task_each(store: Path, tmp_path: Path) -> None:
    run = trained(store, tmp_path, "tpseg-per-task")
    assert isinstance(run.model, SeparateModels)
    image = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        mixed = run.model(image, torch.tensor([1, 0, 1])).logits
        for place, task in enumerate((1, 0, 1)):
            alone = run.model.models[task](image[place : place + 1], by_task(1, 0)).logits
            torch.testing.assert_close(mixed[place : place + 1], alone, atol=1e-3, rtol=1e-3)
