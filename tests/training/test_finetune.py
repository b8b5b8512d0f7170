"""A nano that knows two structures learns the third one from a few masks, and keeps the two."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medprism.core.errors import CancelledError, CheckpointError, ConfigError, LabelError
from medprism.core.progress import Progress, SilentProgress
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.evaluation.fine_tuning import LessonExam
from medprism.models.checkpoint import hash_tensors, load_checkpoint, save_checkpoint
from medprism.training import finetune
from medprism.training.finetune import FineTuneConfig, FineTuned, Length, fine_tune
from medprism.training.initial import CLASS_TENSORS
from medprism.training.lesson import Lesson, plan_lesson
from tests.phantoms import NAMES
from tests.training.phantom_folder import open_store, write_folder
from tests.training.taught_nano import KNOWN, NEW, PATH

# A nano is small enough to learn fast.
FAST = FineTuneConfig(
    requests=8, rate=1e-2, decoder_rate=0.5, odds=(0.8, 0.2, 0.0), bfloat16=False, seed=1
)
STEPS = 110


class NoExam:
    """Measures nothing."""

    def __init__(self, lesson: Lesson, long_side: int) -> None:
        self.sides = (len(lesson.store), long_side)

    def before(self, model: LoadedModel, likely: Sequence[int], progress: Progress) -> None:
        """Look at the old model."""
        self.classes = len(model.concepts)

    def after(self, model: LoadedModel, progress: Progress) -> dict[str, Any]:
        """Return how many classes there were and are."""
        return {"notes": [], "classes_before": self.classes, "classes_after": len(model.concepts)}


@dataclass
class Watched:
    """Progress that notes what it is told, and stops or dies after some steps."""

    stop_after: int | None = None
    die_after: int | None = None

    def __post_init__(self) -> None:
        self.told: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        """Keep the report."""
        self.told.append((done, total, message))
        if message == "learning" and done == self.die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def is_cancelled(self) -> bool:
        """Return True after so many steps."""
        done = [one for one, _, message in self.told if message == "learning"]
        return self.stop_after is not None and max(done, default=0) >= self.stop_after


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    """Return the lesson of 16 phantoms on which all three structures are labelled."""
    folder = tmp_path_factory.mktemp("phantoms")
    store = open_store(write_folder(folder / "toys", 16), folder / "store")
    return plan_lesson(store, load_checkpoint(PATH).info.concepts, (NEW,))


@pytest.fixture(scope="module")
def bare(whole: Lesson) -> Lesson:
    """Return the same lesson without the labels of old classes."""
    return replace(whole, labelled={})


@pytest.fixture(scope="module")
def learned(
    bare: Lesson, whole: Lesson, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FineTuned, Watched]:
    """Return what the nano learned without any old label; old labels are measured on only."""
    torch.set_num_threads(1)
    watched = Watched()
    found = fine_tune(
        load_checkpoint(PATH),
        bare,
        tmp_path_factory.mktemp("run"),
        Length(steps=STEPS),
        lambda lesson, side: LessonExam(whole, side),
        watched,
        FAST,
    )
    return found, watched


def test_a_new_class_is_learned_and_the_old_ones_are_kept(
    learned: tuple[FineTuned, Watched],
) -> None:
    report = learned[0].report
    (new,) = report["new"]
    assert new["name"] == NEW
    assert new["before"]["class"] is None and new["before"]["reference"] < 0.3
    assert new["after"]["class"] > 0.8
    assert [one["name"] for one in report["old"]] == list(KNOWN)
    for old in report["old"]:
        assert old["before"] > 0.9
        assert old["after"] > old["before"] - 0.05
    assert report["agreement"]["dice"] > 0.9 and report["agreement"]["classes"] == len(KNOWN)
    assert report["masks"] == {
        "training": 12,
        "held_out": 4,
        "training_cases": 12,
        "held_out_cases": 4,
    }
    assert report["steps"] == STEPS


def test_only_the_row_and_the_decoder_have_changed(learned: tuple[FineTuned, Watched]) -> None:
    parent, weights = load_checkpoint(PATH), learned[0].weights
    changed = {name for name in weights if not torch.equal(weights[name], parent.tensors[name])}
    assert all(name.startswith(("classes.", "decoder.", "fine_head.")) for name in changed)
    assert any(name.startswith("decoder.") for name in changed)
    for name in CLASS_TENSORS:
        assert torch.equal(weights[name][: len(KNOWN)], parent.tensors[name])
        assert weights[name].shape[0] == len(KNOWN) + 1


def test_the_checkpoint_says_where_it_comes_from(
    learned: tuple[FineTuned, Watched], tmp_path: Path
) -> None:
    parent, found = load_checkpoint(PATH), learned[0]
    path = tmp_path / "new.safetensors"
    save_checkpoint(path, found.info, found.weights)
    loaded = load(path)
    assert loaded.concepts.names == (*KNOWN, NEW)
    assert loaded.card["parent"] == parent.weights_hash
    assert "CC0" in loaded.card["licence"]
    (this,) = loaded.card["training"]["fine_tunings"]
    assert this["parent"] == parent.weights_hash and this["steps"] == STEPS
    masks = [*this["masks"]["training"], *this["masks"]["held_out"]]
    assert len({one["mask"] for one in masks}) == len({one["image"] for one in masks}) == 16
    assert loaded.card["metrics"]["fine_tuning"] == found.report
    # The parent's own history is kept.
    assert loaded.card["training"]["sets"] == parent.info.training["sets"]


def test_progress_names_the_phases_and_counts_steps(learned: tuple[FineTuned, Watched]) -> None:
    told = learned[1].told
    phases = list(dict.fromkeys(message for _, _, message in told))
    assert phases == ["looking", "measuring before", "learning", "measuring after"]
    assert [done for done, _, message in told if message == "learning"] == [*range(1, STEPS + 1)]
    assert {total for _, total, message in told if message != "looking"} == {STEPS}


def _short(
    lesson: Lesson,
    folder: Path,
    progress: Progress,
    steps: int = 5,
    odds: tuple[float, float, float] = (0.4, 0.3, 0.3),
) -> FineTuned:
    config = replace(FAST, requests=2, odds=odds)
    parent = load_checkpoint(PATH)
    return fine_tune(parent, lesson, folder, Length(steps=steps), NoExam, progress, config)


def test_stopped_and_gone_on_with_it_reaches_the_same_weights(
    whole: Lesson, tmp_path: Path
) -> None:
    straight = _short(whole, tmp_path / "a", SilentProgress())
    with pytest.raises(CancelledError, match="after step 3 of 5"):
        _short(whole, tmp_path / "b", Watched(stop_after=2))
    resumed = _short(whole, tmp_path / "b", SilentProgress())
    assert hash_tensors(straight.weights) == hash_tensors(resumed.weights)
    assert straight.report["classes_after"] == straight.report["classes_before"] + 1
    with pytest.raises(CheckpointError, match="other masks, settings"):
        _short(whole, tmp_path / "b", SilentProgress(), steps=6)


def test_killed_and_gone_on_with_it_reaches_the_same_weights(
    whole: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "SAVE_EVERY", 2)
    straight = _short(whole, tmp_path / "a", SilentProgress())
    child = os.fork()
    if not child:
        try:
            _short(whole, tmp_path / "b", Watched(die_after=3))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    resumed = _short(whole, tmp_path / "b", SilentProgress())
    assert hash_tensors(straight.weights) == hash_tensors(resumed.weights)


def test_minutes_become_steps_once(
    bare: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "steps_within", lambda *given: 2)
    config = replace(FAST, requests=1, odds=(1.0, 0.0, 0.0))
    parent, progress = load_checkpoint(PATH), Watched()
    length = Length(minutes=0.001)
    found = fine_tune(parent, bare, tmp_path / "run", length, NoExam, progress, config)
    assert found.report["steps"] == 2
    assert [message for _, _, message in progress.told][:2] == ["looking", "timing"]


def test_timing_is_stopped_too(bare: Lesson, tmp_path: Path) -> None:
    class Impatient(Watched):
        def is_cancelled(self) -> bool:
            return (0, 0, "timing") in self.told

    length = Length(minutes=5.0)
    with pytest.raises(CancelledError, match="before the first step"):
        fine_tune(load_checkpoint(PATH), bare, tmp_path, length, NoExam, Impatient(), FAST)


def test_a_class_that_is_known_already_can_be_trained_on(whole: Lesson, tmp_path: Path) -> None:
    parent = load_checkpoint(PATH)
    lesson = plan_lesson(whole.store, parent.info.concepts, (KNOWN[1],))
    assert lesson.rows == (1,) and lesson.old_rows == (0,)
    assert list(lesson.labelled) == [KNOWN[0]]
    found = _short(lesson, tmp_path, SilentProgress(), steps=2, odds=(1.0, 0.0, 0.0))
    for name in CLASS_TENSORS:
        assert torch.equal(found.weights[name][0], parent.tensors[name][0])
        assert not torch.equal(found.weights[name][1], parent.tensors[name][1])


def test_old_masks_of_a_store_are_rehearsed_and_measured(whole: Lesson, tmp_path: Path) -> None:
    old = open_store(write_folder(tmp_path / "toys", 8, KNOWN), tmp_path / "store")
    parent = load_checkpoint(PATH)
    lesson = plan_lesson(whole.store, parent.info.concepts, (NEW,), rehearsal=old)
    config = replace(FAST, requests=2, odds=(0.5, 0.5, 0.0))
    found = fine_tune(
        parent,
        replace(lesson, labelled={}),
        tmp_path / "run",
        Length(steps=2),
        LessonExam,
        SilentProgress(),
        config,
    )
    sources = {(one["name"], one["source"]) for one in found.report["old"]}
    assert sources == {(name, "store") for name in KNOWN}


def test_what_cannot_be_taught_is_said(whole: Lesson, tmp_path: Path) -> None:
    known = load_checkpoint(PATH).info.concepts
    few = open_store(write_folder(tmp_path / "few", 3), tmp_path / "few-store")
    with pytest.raises(ConfigError, match=f"{NEW}' has 3 masks; .* at least 5, so add 2 more"):
        plan_lesson(few, known)
    alone = write_folder(tmp_path / "alone", 6, patients=["p"] * 6)
    with pytest.raises(ConfigError, match="all of one patient or image; .* at least 2"):
        plan_lesson(open_store(alone, tmp_path / "alone-store"), known)
    with pytest.raises(LabelError, match="no mask is of class 'liver'"):
        plan_lesson(whole.store, known, ("liver",))
    old = open_store(write_folder(tmp_path / "old", 6, KNOWN), tmp_path / "old-store")
    with pytest.raises(ConfigError, match="knows all classes of these masks already"):
        plan_lesson(old, known)
    with pytest.raises(ConfigError, match="either in steps or in minutes"):
        Length(steps=3, minutes=1.0)
    with pytest.raises(ConfigError, match="holds out more than 0"):
        FineTuneConfig(held_out=1.0)


def test_the_lesson_adds_rows_behind_the_old_ones(whole: Lesson) -> None:
    assert whole.concepts.names == (*KNOWN, NEW)
    assert whole.concepts[2].label_ids == {"toys": (NAMES.index(NEW) + 1,)}
    assert list(whole.taught) == [NEW] and sorted(whole.labelled) == sorted(KNOWN)
    assert {row.split for row in whole.store.rows} == {"train", "val"}
