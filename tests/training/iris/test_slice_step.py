"""A nano Iris on slices learns to follow its reference; what it saw is in its bank."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from medprism.core.randomness import counter_rng
from medprism.models.iris.config import iris_nano_2d
from medprism.models.iris.slices import SliceIris
from medprism.models.segmenter import Prompts
from medprism.training.batches import standardised, to_batch
from medprism.training.config import TrainConfig, plan_step
from medprism.training.iris.slice_step import BANK_ROWS, learn_slices
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.recipes import iris_nano_2d as recipe
from medprism.training.state import read_average
from medprism.training.step import StepRandomness
from tests.training.runs import Notes
from tests.training.shown_boxes import ShownBoxes
from tests.training.two_tasks import draw_boxes

STEPS = 90
CLASSES = 2


def make_slices() -> SliceIris:
    torch.manual_seed(1)
    return SliceIris(iris_nano_2d(CLASSES))


def run(folder: Path, config: TrainConfig, stop_after: int | None = None) -> dict[str, Tensor]:
    notes = Notes(stop_after)
    folder.mkdir(exist_ok=True)
    train(
        make_slices(),
        ShownBoxes(),
        config,
        folder,
        schedule=Schedule(save_every=100, log_every=10),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
        make_learner=learn_slices,
    )
    return read_average(folder / STATE_FILE)


@cache
def teach() -> SliceIris:
    """Train a nano; once a process."""
    with TemporaryDirectory() as folder:
        weights = run(Path(folder), recipe(STEPS))
    model = make_slices()
    model.load_state_dict(weights)
    return model.eval()


def dice(found: Tensor, masks: np.ndarray) -> float:
    mask = (found > 0).numpy()
    return float(2 * (mask & masks).sum() / (mask.sum() + masks.sum()))


def test_what_a_reference_shows_is_found_and_so_is_its_class_without_one() -> None:
    model = teach()
    rng = counter_rng(5, "unseen")
    drawn = [draw_boxes(rng) for _ in range(8)]
    images = standardised(np.stack([image for image, _ in drawn]))
    masks = np.stack([masks for _, masks in drawn])
    half, valid = len(drawn) // 2, torch.ones(len(drawn) // 2, 1, dtype=torch.bool)
    with torch.no_grad():
        features = model.encode(images[:half])
        for box in range(CLASSES):
            shown = torch.from_numpy(masks[half:, box].astype(np.float32))[:, None]
            references = model.encode_references(images[half:, None], shown, valid)
            by_reference = model.decode(features, Prompts(references=references)).logits
            by_class = model.decode(
                features, Prompts(concept=torch.full((half,), box, dtype=torch.int64))
            ).logits
            for found in (by_reference, by_class):
                assert dice(found, masks[:half, box]) > 0.8
                assert dice(found, masks[:half, 1 - box]) < 0.1


def test_every_weight_learns_and_the_bank_counts_every_reference() -> None:
    model, config = make_slices().train(), recipe(1)
    batch = to_batch(
        ShownBoxes().draw(
            1,
            0,
            needs_reference=True,
            num_requests=4,
            size=64,
            self_reference=0.0,
            allows_absent=False,
        )
    )
    learner = learn_slices(model, config)
    result = learner.step(batch, plan_step(1, 0, config.odds), StepRandomness(1, 0))
    result.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name
    assert model.iris.bank.count[:, 0].tolist() == [0, 0]
    assert learner.take_in is not None
    learner.take_in(result.tallies)
    assert model.iris.bank.count[:, 0].tolist() == [2, 2]


def test_a_run_that_was_stopped_goes_on_bit_for_bit_and_keeps_the_bank_as_it_is(
    tmp_path: Path,
) -> None:
    config = recipe(4)
    whole = run(tmp_path / "whole", config)
    run(tmp_path / "parts", config, stop_after=2)
    parts = run(tmp_path / "parts", config)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    # No average of an average, which would begin at zero.
    assert set(BANK_ROWS) == {name for name, _ in make_slices().named_buffers()}
    state = load_file(tmp_path / "whole" / STATE_FILE)
    for name in BANK_ROWS:
        assert torch.equal(whole[name], state[f"model.{name}"])
    assert not torch.equal(
        whole["iris.encoder.stem.weight"], state["model.iris.encoder.stem.weight"]
    )
