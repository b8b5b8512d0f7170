"""Rivals learn phantoms by the loop of K-Prism: each by what it can be asked with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.models.kprism.model import KPrism
from medprism.models.zoo.slices.frame import Rival, rival_nano
from medprism.models.zoo.slices.roster import RIVALS
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.rival_step import learn_rival, learner_of
from medprism.training.state import read_average
from medprism.training.tyche_step import learn_tyche
from tests.phantoms import NAMES

from .phantom_sampler import PhantomSampler
from .runs import Notes

STAGES = (StageConfig(size=64, share=1.0, requests=4),)


def make(name: str) -> Rival | KPrism:
    if (package := RIVALS[name].needs) is not None:
        pytest.importorskip(package, reason=f"{name} is built of {package}")
    torch.manual_seed(1)
    return RIVALS[name].build(rival_nano(len(NAMES)))


def run(name: str, folder: Path, steps: int, stop_after: int | None = None) -> Notes:
    folder.mkdir(exist_ok=True)
    config = TrainConfig(
        preset="kprism-nano",
        steps=steps,
        stages=STAGES,
        odds=RIVALS[name].odds,
        peak_rate=3e-3,
        ema=0.9,
        self_reference_until=0.0,
        bfloat16=False,
    )
    notes = Notes(stop_after)
    train(
        make(name),
        PhantomSampler(4),
        config,
        folder,
        schedule=Schedule(save_every=100, log_every=1),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
        make_learner=learner_of(name),
    )
    return notes


@pytest.mark.parametrize("name", RIVALS)
def test_a_stopped_run_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    run(name, tmp_path / "whole", 3)
    run(name, tmp_path / "parts", 3, stop_after=1)
    run(name, tmp_path / "parts", 3)
    whole, parts = (read_average(tmp_path / one / STATE_FILE) for one in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    start = make(name).state_dict()
    assert any(not torch.equal(whole[key], start[key]) for key in whole)


def test_every_rival_learns_by_its_own_loss() -> None:
    learners = {name: learner_of(name) for name in RIVALS}
    assert learners.pop("tyche") is learn_tyche
    assert set(learners.values()) == {learn_rival}


def test_a_name_that_no_rival_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="tyche"):
        learner_of("nobody")
