from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medprism.core.errors import CheckpointError
from medprism.training.iris.lesson import mean_dice
from medprism.training.iris.loop import halves_precision, make_lamb
from medprism.training.loop import STATE_FILE, Schedule
from medprism.training.state import read_average
from tests.training.runs import Notes

from .nano import make_learner, nano_config, nano_episodes, train_nano
from .window_dice import make_volume_validate


def test_the_loss_falls_and_every_parameter_learns(tmp_path: Path) -> None:
    notes, config = Notes(), nano_config(14, peak_rate=0.02)
    learner = make_learner(config)
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    train_nano(config, tmp_path, notes, learner=learner)
    losses = [values["loss/phantoms"] for _, values in notes.written]
    assert len(losses) == 14
    assert np.mean(losses[-4:]) < 0.95 * np.mean(losses[:4])
    still = [n for n, p in learner.model.named_parameters() if torch.equal(p, before[n])]
    assert not still


def test_a_run_that_was_stopped_reaches_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    config = nano_config(4, bfloat16=True)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    _, whole = train_nano(config, tmp_path / "whole", Notes())
    position, _ = train_nano(config, tmp_path / "parts", Notes(stop_after=2))
    assert position.step == 2
    position, parts = train_nano(config, tmp_path / "parts", Notes())
    assert position.step == 4
    for one, two in zip(
        whole.model.state_dict().items(), parts.model.state_dict().items(), strict=True
    ):
        assert torch.equal(one[1], two[1]), one[0]
    averages = [read_average(tmp_path / name / STATE_FILE) for name in ("whole", "parts")]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    with pytest.raises(CheckpointError, match="steps 4"):
        train_nano(nano_config(5, bfloat16=True), tmp_path / "parts", Notes())


def test_the_bank_holds_what_references_said_and_is_not_averaged_twice(tmp_path: Path) -> None:
    config = nano_config(3)
    _, learner = train_nano(config, tmp_path, Notes())
    bank = learner.model.bank
    shown = torch.zeros(2, dtype=torch.int64)
    for step in range(3):
        for number in range(config.episodes):
            for row in nano_episodes().draw(config.seed, step, number).concept.tolist():
                shown[row] += 1
    assert torch.equal(bank.count, shown[:, None].expand_as(bank.count))
    average = read_average(tmp_path / STATE_FILE)
    assert torch.equal(average["bank.content"], bank.content)
    assert not torch.equal(average["encoder.stem.weight"], learner.model.encoder.stem.weight)


def test_validation_gives_a_score_and_leaves_the_bank_alone(tmp_path: Path) -> None:
    config = nano_config(2)
    fixed = nano_episodes(6, "val").fixed(1, 2)
    validate = make_volume_validate(lambda: make_learner(config), fixed)
    notes = Notes()
    schedule = Schedule(validate_every=1, log_every=1)
    _, learner = train_nano(config, tmp_path, notes, schedule=schedule, validate=validate)
    scores = [values["val/score"] for _, values in notes.written if "val/score" in values]
    assert len(scores) == 2
    assert all(0 <= score <= 1 for score in scores)
    weights = learner.model.state_dict()
    assert validate(weights) == validate(weights)


def test_biases_and_norms_do_not_decay() -> None:
    learner = make_learner(nano_config(2))
    groups = make_lamb(learner, nano_config(2)).param_groups
    assert [group["weight_decay"] for group in groups] == [1e-5, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    total = sum(len(group["params"]) for group in groups)
    assert total == len(list(learner.model.parameters()))


def test_dice_of_a_query_counts_the_classes_it_shows() -> None:
    target = torch.zeros(1, 2, 2, 2, 2)
    assert mean_dice(target - 1, target) is None
    target[0, 0, 0, 0] = 1
    logits = torch.full_like(target, -1.0)
    logits[0, 0, 0] = 1
    assert mean_dice(logits, target) == pytest.approx(2 * 2 / (4 + 2))


def test_windows_whose_deepest_map_has_two_slices_take_full_precision() -> None:
    episode = nano_episodes().draw(1, 0, 0)
    config = nano_config(2, bfloat16=True)
    assert not halves_precision(episode, config)
    volume, masks = np.zeros((48, 32, 32), np.float32), np.zeros((1, 48, 32, 32), np.bool_)
    deeper = replace(
        episode,
        image=volume,
        target=masks,
        reference_image=volume,
        reference_masks=masks,
        concept=np.zeros(1, np.int64),
    )
    assert halves_precision(deeper, config)
    assert not halves_precision(deeper, nano_config(2))
