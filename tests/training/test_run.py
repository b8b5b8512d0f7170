from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError, FormatVersionError, StoreError, WriteError
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from medprism.engines.loading import load
from medprism.models.checkpoint import load_checkpoint
from medprism.models.kprism.config import KPrismConfig
from medprism.training import run as run_module
from medprism.training.loop import STATE_FILE, Validate
from medprism.training.run import BEST, LAST, Run
from medprism.training.run_order import RunOrder
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.state import read_average
from medprism.training.timing import Timing
from tests.data.phantoms import write_dataset
from tests.training.runs import Notes, same

STEPS = 6


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training sets with a val split, one of unclear licence, and an external one."""
    root = tmp_path_factory.mktemp("sets")
    for name, licence in (("free", "yes"), ("closed", "unclear")):
        cases = [f"p{patient}_z{number * 4:03d}" for patient in range(3) for number in range(2)]
        split = {"test": cases[:2], "val": cases[2:4], "train": cases[4:]}
        write_dataset(root / name, num_patients=3, slices=2, split=split, redistributable=licence)
    write_dataset(root / "outside", num_patients=2, role="external")
    prepare([root / name for name in ("free", "closed", "outside")], root / "store")
    return root / "store"


def _order(store: Path, **changes: object) -> RunOrder:
    return replace(RunOrder(recipe="kprism-nano", store=store, steps=STEPS), **changes)


class _Scores:
    """A validation that returns the scores it is given, one after the other."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.seen: list[tuple[SliceStore, ConceptTable, int]] = []

    def make(
        self, store: SliceStore, concepts: ConceptTable, long_side: int, config: KPrismConfig
    ) -> Validate:
        self.seen.append((store, concepts, long_side))
        return lambda weights: {"score": self.scores.pop(0)}


def _go(run: Run, scores: _Scores | None = None, stop_after: int | None = None) -> Notes:
    notes = Notes(stop_after)
    run.train(run.validator(scores.make if scores else None), notes, notes)
    return notes


def test_a_run_leaves_its_record_its_state_and_two_checkpoints(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    run = Run.start(folder, _order(store), None)
    scores = _Scores(0.1, 0.4, 0.2, 0.3, 0.35, 0.1)
    notes = _go(run, scores)
    assert notes.reported[-1][:2] == (STEPS, STEPS)
    best, last = load_checkpoint(folder / BEST), load_checkpoint(folder / LAST)
    assert best.info.metrics == {"val": {"score": 0.4}}
    assert (best.info.training["steps"], last.info.training["steps"]) == (2, STEPS)
    average = read_average(folder / STATE_FILE)
    assert same(last.tensors, {name: tensor.half() for name, tensor in average.items()})
    assert [one["name"] for one in last.info.training["sets"]] == ["free", "closed"]
    assert load(folder / BEST).concepts.names == ("big comma", "small comma")
    ((validated, concepts, long_side),) = scores.seen
    assert set(validated.infos) == {"free", "closed"}
    assert (len(concepts), long_side) == (2, 64)


def test_the_record_is_read_back_as_it_was_written(store: Path, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", _order(store, synthetic=0.25, licences=("yes",)), None)
    read = RunRecord.load(tmp_path / "run")
    assert read.concepts.to_json() == run.record.concepts.to_json()
    assert replace(read, concepts=run.record.concepts) == run.record
    assert (read.sets, read.synthetic, read.config.steps) == (("free",), 0.25, STEPS)


def test_stopping_and_going_on_gives_the_same_weights(store: Path, tmp_path: Path) -> None:
    whole = Run.start(tmp_path / "whole", _order(store), None)
    _go(whole)
    _go(Run.start(tmp_path / "parts", _order(store), None), stop_after=2)
    part = load_checkpoint(tmp_path / "parts" / LAST)
    assert part.info.training["steps"] == 2
    _go(Run.resume(tmp_path / "parts"))
    one, other = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "parts"))
    assert one.weights_hash == other.weights_hash != part.weights_hash


def test_going_on_after_the_end_changes_nothing(store: Path, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", _order(store), None)
    _go(run)
    before = load_checkpoint(tmp_path / "run" / LAST).weights_hash
    notes = _go(Run.resume(tmp_path / "run"))
    assert notes.reported == []
    assert load_checkpoint(tmp_path / "run" / LAST).weights_hash == before


def test_minutes_become_steps_once(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "time_steps", lambda *_: Timing((0.5,), 6.0))
    run = Run.start(tmp_path / "run", _order(store, steps=None, minutes=1.0), _Scores(0.0).make)
    # Timing took 6 of 60 seconds and validations take what one took; a step takes half a second.
    told = json.loads((tmp_path / "run" / RUN_FILE).read_text())["timing"]
    validating = (run_module.VALIDATIONS + 2) * told["seconds_per_validation"]
    assert run.record.config.steps == pytest.approx((54 - validating) / 0.5, abs=5)
    assert run.record.schedule.validate_every == run.record.config.steps // 10
    assert run.record.schedule.save_every == 120
    assert (told["minutes"], told["seconds_per_step"]) == (1.0, [0.5])
    monkeypatch.undo()
    assert Run.resume(tmp_path / "run").record.config == run.record.config


def test_a_run_begins_with_a_checkpoint_and_learns_new_classes(store: Path, tmp_path: Path) -> None:
    _go(Run.start(tmp_path / "first", _order(store, licences=("yes",)), None))
    start = tmp_path / "first" / LAST
    write_dataset(tmp_path / "set", num_patients=2)
    told = json.loads((tmp_path / "set" / "dataset.json").read_text())
    told["classes"] = {"1": "small comma", "2": "dot"}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(told))
    prepare([tmp_path / "set"], tmp_path / "more")
    run = Run.start(tmp_path / "second", _order(tmp_path / "more", start=start), None)
    assert run.record.concepts.names == ("big comma", "small comma", "dot")
    _go(run, stop_after=1)
    stored = load_checkpoint(start).tensors["classes.content"]
    now = load_checkpoint(tmp_path / "second" / LAST).tensors["classes.content"]
    assert now.shape[0] == 3
    # One step from the stored weights moves them a little; drawn anew they would be far away.
    assert torch.allclose(now[:2].float(), stored.float(), atol=0.05)


def test_a_set_without_val_slices_is_trained_without_a_best(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2, slices=2)
    prepare([tmp_path / "set"], tmp_path / "store")
    run = Run.start(tmp_path / "run", _order(tmp_path / "store"), _Scores().make)
    assert run.validator(_Scores().make) is None
    _go(run, _Scores())
    assert not (tmp_path / "run" / BEST).exists()
    assert (tmp_path / "run" / LAST).exists()


def test_a_used_folder_and_a_changed_store_are_refused(store: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", num_patients=2)
    prepare([tmp_path / "set"], tmp_path / "store")
    Run.start(tmp_path / "run", _order(tmp_path / "store"), None)
    with pytest.raises(ConfigError, match="holds a run already"):
        Run.start(tmp_path / "run", _order(tmp_path / "store"), None)
    write_dataset(tmp_path / "set", num_patients=3)
    prepare([tmp_path / "set"], tmp_path / "store")
    with pytest.raises(StoreError, match="has changed since"):
        Run.resume(tmp_path / "run")
    with pytest.raises(FormatVersionError, match="run.json cannot be read"):
        Run.resume(tmp_path / "nowhere")


def test_a_damaged_record_is_refused(store: Path, tmp_path: Path) -> None:
    Run.start(tmp_path, _order(store), None)
    told = json.loads((tmp_path / RUN_FILE).read_text())
    for change in ({"sets": None}, {"schedule": {"pace": 3}}, {"concepts": [{}]}, {"config": {}}):
        (tmp_path / RUN_FILE).write_text(json.dumps({**told, **change}))
        with pytest.raises((FormatVersionError, ConfigError)):
            RunRecord.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "kprism-huge"}, "no recipe 'kprism-huge'; there is kprism-compact"),
        ({"steps": None}, "either in steps or in minutes"),
        ({"minutes": 3.0}, "either in steps or in minutes"),
        ({"steps": None, "minutes": 0.0}, "minutes must be above 0"),
        ({"steps": None, "minutes": float("nan")}, "minutes must be above 0"),
        ({"steps": 0}, "at least one step"),
        ({"synthetic": 1.5}, "synthetic"),
    ],
)
def test_impossible_orders_are_refused(
    store: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Run.start(tmp_path / "run", _order(store, **changes), None)


def test_a_folder_that_cannot_be_made_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot make the run folder"):
        Run.start(tmp_path / "file" / "run", _order(store), None)
