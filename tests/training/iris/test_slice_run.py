"""A run folder of Iris on slices, and its checkpoint in a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medprism import Session, load
from medprism.core.errors import PromptError
from medprism.data.preparation import PrepareConfig, prepare
from medprism.evaluation.validation import make_validate
from medprism.models.checkpoint import load_checkpoint
from medprism.training.run import BEST, LAST, Run
from medprism.training.run_order import RunOrder
from tests.data.phantoms import write_dataset
from tests.training.runs import Notes


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    cases = [f"p{patient}_z{number * 4:03d}" for patient in range(4) for number in range(2)]
    split = {"test": cases[:2], "val": cases[2:4], "train": cases[4:]}
    write_dataset(root / "grey", num_patients=4, slices=2, split=split)
    prepare([root / "grey"], root / "store", PrepareConfig(workers=1))
    return root / "store"


def go(run: Run, stop_after: int | None = None) -> None:
    notes = Notes(stop_after)
    run.train(run.validator(make_validate), notes, notes)


@pytest.fixture(scope="module")
def finished(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "first"
    go(Run.start(folder, RunOrder(recipe="iris-nano-2d", store=store, steps=3), make_validate))
    return folder


def test_a_run_validates_by_class_and_by_one_reference_and_goes_on_bit_for_bit(
    store: Path, finished: Path, tmp_path: Path
) -> None:
    best, last = load_checkpoint(finished / BEST), load_checkpoint(finished / LAST)
    assert set(best.info.metrics["val"]) == {"semantic", "one-shot", "score"}
    assert last.info.architecture == "iris-2d"
    assert int(last.tensors["iris.bank.count"].sum()) > 0
    order = RunOrder(recipe="iris-nano-2d", store=store, steps=3)
    go(Run.start(tmp_path / "parts", order, make_validate), stop_after=1)
    go(Run.resume(tmp_path / "parts"))
    assert load_checkpoint(tmp_path / "parts" / LAST).weights_hash == last.weights_hash


def test_a_run_begins_with_the_weights_and_the_bank_of_another(
    store: Path, finished: Path, tmp_path: Path
) -> None:
    order = RunOrder(recipe="iris-nano-2d", store=store, steps=1, start=finished / LAST)
    run = Run.start(tmp_path / "second", order, None)
    checkpoint = load_checkpoint(finished / LAST)
    model = run.course.build(run.record, checkpoint)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, checkpoint.tensors[name].to(tensor.dtype)), name


def test_a_session_asks_it_by_reference_and_by_class_and_is_told_what_it_cannot(
    finished: Path,
) -> None:
    model = load(finished / LAST)
    rng = np.random.default_rng(1)
    image, other = (rng.integers(0, 255, (48, 64), dtype=np.uint8) for _ in range(2))
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:40] = True
    session = Session(model)
    session.set_image(image)
    session.set_references([other], [mask], label="thing")
    session.predict(labels=["thing"])
    first = session.probability("thing")
    assert first.shape == (48, 64)
    session.predict(classes=list(model.concepts.names))
    for name in model.concepts.names:
        assert session.probability(name).shape == (48, 64)
    with pytest.raises(PromptError, match="click"):
        session.add_point_interaction((5, 5), include_interaction=True, label="thing")
    assert np.array_equal(session.probability("thing"), first)
