"""A run folder of TP-Seg: laid out, trained, gone on with, and a task added to its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.evaluation.task_validation import make_task_validate
from medprism.models.catalog import TPSEG_PRESETS, build_tpseg
from medprism.models.checkpoint import load_checkpoint
from medprism.training.course import CLASSES, EXAMPLES, TASKS, course_of
from medprism.training.recipes import RECIPES
from medprism.training.run import BEST, LAST, Run
from medprism.training.run_order import RunOrder
from tests.data.phantoms import write_dataset

from .runs import Notes

STEPS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    cases = [f"p{patient}_z{number * 4:03d}" for patient in range(3) for number in range(2)]
    split = {"test": cases[:2], "val": cases[2:4], "train": cases[4:]}
    write_dataset(root / "grey", num_patients=3, slices=2, split=split)
    prepare([root / "grey"], root / "store", PrepareConfig(workers=1))
    return root / "store"


def order(store: Path, **changes: object) -> RunOrder:
    made = RunOrder(recipe="tpseg-nano", store=store, steps=STEPS, tasks=("big comma",))
    return replace(made, **changes)


def go(run: Run, stop_after: int | None = None) -> Notes:
    notes = Notes(stop_after)
    run.train(run.validator(make_task_validate), notes, notes)
    return notes


@pytest.fixture(scope="module")
def first(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run on one task, without a stop."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "first"
    go(Run.start(folder, order(store), make_task_validate))
    return folder


def test_every_recipe_has_the_course_of_its_architecture() -> None:
    for name, recipe in RECIPES.items():
        courses = {"tpseg": TASKS, "iris": EXAMPLES, "kprism": CLASSES}
        assert course_of(recipe(10)) is courses[name.partition("-")[0]]


def test_a_checkpoint_knows_its_tasks(first: Path) -> None:
    best, last = load_checkpoint(first / BEST), load_checkpoint(first / LAST)
    assert set(best.info.metrics["val"]) == {"task/big comma", "score"}
    assert last.info.architecture == "tpseg"
    assert last.info.concepts.names == ("big comma",)
    (task,) = last.info.card["tasks"]
    assert (task["name"], task["images"], task["colours"]) == ("big comma", 2, ["grey"])
    assert [one["name"] for one in last.info.training["sets"]] == ["grey"]
    assert build_tpseg(last).config == TPSEG_PRESETS["tpseg-nano"].config(1)


def test_tasks_are_drawn_alike_one_an_image(store: Path, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", order(store, tasks=()), None)
    concepts = []
    for step in range(12):
        episode = run.sampler.draw(1, step, False, 8, 64, 0.0, allows_absent=True)
        assert episode.image_index.tolist() == list(range(8))
        concepts += episode.concept.tolist()
    # The small comma is on half of the images that show the big one.
    assert 0.35 < sum(concepts) / len(concepts) < 0.65


def test_stopping_and_going_on_gives_the_same_weights(
    store: Path, first: Path, tmp_path: Path
) -> None:
    go(Run.start(tmp_path / "parts", order(store), make_task_validate), stop_after=1)
    go(Run.resume(tmp_path / "parts"))
    one, other = (load_checkpoint(folder / LAST) for folder in (first, tmp_path / "parts"))
    assert one.weights_hash == other.weights_hash


def test_a_task_added_to_a_checkpoint_leaves_the_old_answers_bit_for_bit(
    store: Path, first: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "added"
    go(
        Run.start(
            folder,
            order(store, tasks=(), added=("small comma",), start=first / LAST),
            make_task_validate,
        ),
        stop_after=2,
    )
    go(Run.resume(folder))
    before, after = load_checkpoint(first / LAST), load_checkpoint(folder / LAST)
    assert after.info.concepts.names == ("big comma", "small comma")
    old, new = build_tpseg(before), build_tpseg(after)
    image = torch.randn(2, 3, 64, 96)
    task = torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        assert torch.equal(old(image, task).logits, new(image, task).logits)
    assert int(new.banks[0].count[1].sum()) > 0
    assert torch.equal(new.banks[0].count[0], old.banks[0].count[0])
    tasks = {entry["name"]: entry for entry in after.info.card["tasks"]}
    assert tasks["big comma"] == before.info.card["tasks"][0]
    assert tasks["small comma"]["images"] == 1
    assert after.info.card["parent"]["hash"] == before.weights_hash
    assert "began with weights under" in after.info.card["licence"]
    assert set(load_checkpoint(folder / BEST).info.metrics["val"]) == {"task/small comma", "score"}


def test_a_checkpoint_of_another_size_cannot_begin_a_run(
    store: Path, first: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="cannot begin this run"):
        Run.start(tmp_path / "run", order(store, recipe="tpseg-compact", start=first / LAST), None)


def test_validation_is_by_task(store: Path, first: Path) -> None:
    checkpoint = load_checkpoint(first / LAST)
    opened = SliceStore.open(store)
    concepts: ConceptTable = Run.resume(first).record.concepts
    validate = make_task_validate(opened, concepts, 64, TPSEG_PRESETS["tpseg-nano"].config(1))
    figures = validate({name: tensor.float() for name, tensor in checkpoint.tensors.items()})
    assert figures["score"] == figures["task/big comma"]
    assert 0 <= figures["score"] <= 1
