from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import Tensor

from medprism.core.errors import InternalError
from medprism.core.randomness import counter_rng
from medprism.models.tpseg.decoder import compare
from medprism.models.tpseg.model import TPSeg, task_rows
from medprism.training.batches import standardised
from medprism.training.config import PhaseConfig, TrainConfig
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.state import read_average
from medprism.training.task_step import border_window, learn_tasks

from .runs import Notes, same
from .two_tasks import BoxSampler, draw_boxes, make_tasks, task_config

STEPS = 60


def run(
    folder: Path,
    config: TrainConfig,
    model: TPSeg,
    *,
    stop_after: int | None = None,
    tasks: tuple[int, ...] = (0, 1),
) -> tuple[Notes, Callable[[], dict[str, Tensor]]]:
    """Train in `folder`; return the notes, and what reads the averaged weights."""
    notes = Notes(stop_after)
    train(
        model,
        BoxSampler(tasks),
        config,
        folder,
        schedule=Schedule(save_every=100, log_every=10),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
        make_learner=learn_tasks,
    )
    return notes, lambda: read_average(folder / STATE_FILE)


@cache
def teach() -> dict[str, Tensor]:
    """Train a nano on both tasks; once a process."""
    with TemporaryDirectory() as folder:
        _, average = run(Path(folder), task_config(STEPS), make_tasks())
        return average()


def taught(tasks: int = 2) -> TPSeg:
    model = make_tasks(tasks, seed=3)
    own, rows = model.state_dict(), task_rows(model)
    for name, tensor in teach().items():
        part = own[name][:2] if name in rows else own[name]
        part.copy_(tensor)
    return model.eval()


def draw_unseen(count: int = 6) -> tuple[Tensor, np.ndarray]:
    rng = counter_rng(5, "unseen")
    drawn = [draw_boxes(rng) for _ in range(count)]
    return standardised(np.stack([image for image, _ in drawn])), np.stack([m for _, m in drawn])


def dice(model: TPSeg, task: int, box: int) -> float:
    images, masks = draw_unseen()
    with torch.no_grad():
        found = (model(images, torch.full((len(images),), task)).logits > 0).numpy()
    truth = masks[:, box]
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_two_tasks_learn_opposite_answers_to_the_same_images() -> None:
    model = taught()
    for task in (0, 1):
        assert dice(model, task, task) > 0.8
        assert dice(model, task, 1 - task) < 0.1


def test_prototypes_were_moved_by_the_masks_and_tell_lesion_from_background() -> None:
    counts = [tensor for name, tensor in teach().items() if name.endswith("bank.count")]
    # Every image has background; a box covers several positions of the finest map always, and of
    # the coarsest, four by four, only sometimes.
    assert [int(count[:, 1].min()) for count in counts] == [4 * STEPS] * 3
    assert int(counts[0][:, 0].min()) == 4 * STEPS
    assert 0 < int(counts[2][:, 0].min()) < 4 * STEPS
    model = taught()
    images, masks = draw_unseen()
    for task in (0, 1):
        asked = torch.full((len(images),), task)
        with torch.no_grad():
            finest = model(images, asked).features[0]
            similarity = compare(finest, model.banks[0](asked)[0]).numpy()
        box = masks[:, task, 2::4, 2::4]
        assert similarity[box].mean() > similarity[~box].mean() + 0.05


def changed(before: dict[str, Tensor], model: TPSeg) -> set[str]:
    return {
        name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)
    }


def test_the_trunk_learns_first_and_the_adapters_after_it(tmp_path: Path) -> None:
    config = task_config(6, phases=PhaseConfig(joint_share=0.5))
    model = make_tasks()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(tmp_path, config, model, stop_after=3)
    first = changed(start, model)
    assert not any(name.startswith("adapters.") for name in first)
    assert {name for name in start if name.startswith("trunk.")} <= first
    middle = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(tmp_path, config, model)
    second = changed(middle, model)
    assert not any(name.startswith("trunk.") for name in second)
    ups = {name for name in start if name.endswith(".up")}
    assert ups and ups <= second


@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_that_was_stopped_in_either_phase_goes_on_bit_for_bit(
    tmp_path: Path, stop: int
) -> None:
    config = task_config(6, phases=PhaseConfig(joint_share=0.5))
    weights = []
    for name, limits in (("whole", (None,)), ("parts", (stop, None))):
        folder = tmp_path / name
        folder.mkdir()
        for seed, limit in enumerate(limits):
            _, average = run(folder, config, make_tasks(seed=1 + seed), stop_after=limit)
        weights.append(average())
    assert same(*weights)


def test_an_added_task_learns_and_leaves_the_others_bit_for_bit(tmp_path: Path) -> None:
    model, before = taught(3), taught(3)
    images, _ = draw_unseen(2)
    config = task_config(40, phases=PhaseConfig(kept_rows=2), peak_rate=2e-2, weight_decay=0.1)
    # The third task asks for the box of task 0, which its own rows must learn from nothing.
    _, average = run(tmp_path, config, model, tasks=(2,))
    model.load_state_dict(average())
    for task in (0, 1):
        asked = torch.full((2,), task)
        with torch.no_grad():
            assert torch.equal(model(images, asked).logits, before(images, asked).logits)
    rows = task_rows(model)
    for name in changed(before.state_dict(), model):
        assert name in rows
        assert torch.equal(model.state_dict()[name][:2], before.state_dict()[name][:2])
    assert dice(model.eval(), 2, 0) > 0.7
    assert dice(model, 2, 0) > dice(before, 2, 0) + 0.3


def test_settings_without_phases_teach_no_tasks() -> None:
    with pytest.raises(InternalError, match="has no phases"):
        learn_tasks(make_tasks(), task_config(2, phases=None))


@pytest.mark.parametrize(("size", "window"), [(512, 31), (16, 3)])
def test_the_window_of_the_loss_grows_with_the_canvas_and_is_odd(size: int, window: int) -> None:
    assert border_window(size) == window
    assert all(border_window(side) % 2 == 1 for side in range(16, 520, 16))
