from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

from medprism.core.errors import InternalError, WriteError
from medprism.models import checkpoint
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.optim import learning_rate

from .phantom_sampler import PhantomSampler
from .runs import Notes, everything, make_nano, run, same, small_config, steps_done

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Return the end of six steps without a stop."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("straight")
    run(folder, small_config())
    return everything(folder, small_config())


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_cancelled_run_goes_on_bit_for_bit(
    tmp_path: Path, straight: dict[str, Tensor], stop: int
) -> None:
    _, position, notes = run(tmp_path, small_config(), stop_after=stop)
    assert position.step == stop == len(notes.reported)
    assert steps_done(tmp_path) == stop
    # Another start: all of it must come from the folder.
    _, position, notes = run(tmp_path, small_config(), model=make_nano(seed=7))
    assert position.step == 6
    assert [done for done, _, _ in notes.reported] == list(range(stop + 1, 7))
    assert same(everything(tmp_path, small_config()), straight)


def test_a_run_stopped_at_every_step_is_still_the_same(
    tmp_path: Path, straight: dict[str, Tensor]
) -> None:
    for _ in range(6):
        run(tmp_path, small_config(), stop_after=1)
    assert same(everything(tmp_path, small_config()), straight)


def test_a_finished_run_takes_no_further_step(tmp_path: Path) -> None:
    config = small_config(2)
    run(tmp_path, config)
    before = (tmp_path / STATE_FILE).read_bytes()
    _, position, notes = run(tmp_path, config)
    assert position.step == 2
    assert notes.reported == []
    assert (tmp_path / STATE_FILE).read_bytes() == before


def test_the_seed_decides_everything(tmp_path: Path, straight: dict[str, Tensor]) -> None:
    run(tmp_path, small_config())
    assert same(everything(tmp_path, small_config()), straight)
    other = tmp_path / "other"
    other.mkdir()
    run(other, small_config(seed=4))
    assert not same(everything(other, small_config(seed=4)), straight)


def test_a_run_killed_at_some_moment_goes_on_bit_for_bit(
    tmp_path: Path, straight: dict[str, Tensor]
) -> None:
    command = [sys.executable, "-m", "tests.training.killed_run", str(tmp_path), "6"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        limit = time.monotonic() + 120
        while steps_done(tmp_path) < 2 and process.poll() is None:
            assert time.monotonic() < limit, "the run wrote no state"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert steps_done(tmp_path) >= 2
    run(tmp_path, small_config())
    assert same(everything(tmp_path, small_config()), straight)


def test_a_run_killed_while_saving_keeps_the_state_before(
    tmp_path: Path, straight: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, small_config(), stop_after=2)

    def full(tensors: dict[str, Tensor], name: str, metadata: dict[str, str]) -> None:
        Path(name).write_bytes(b"the first bytes of a state")
        raise SafetensorError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(WriteError, match="No space left"):
            run(tmp_path, small_config(), save_every=1)
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    assert steps_done(tmp_path) == 2
    run(tmp_path, small_config())
    assert same(everything(tmp_path, small_config()), straight)


def test_the_figures_of_a_run_are_logged_and_reported(tmp_path: Path) -> None:
    config = small_config()
    _, position, notes = run(tmp_path, config)
    assert [step for step, _ in notes.written] == [2, 4, 6]
    assert [(done, total) for done, total, _ in notes.reported] == [(n, 6) for n in range(1, 7)]
    assert position.seconds > 0
    names = set().union(*(values for _, values in notes.written))
    assert {"gradient", "rate"} < names
    kinds = {message.split()[0] for _, _, message in notes.reported}
    assert {f"loss/{kind}" for kind in kinds} == {n for n in names if n.startswith("loss/")}
    for step, values in notes.written:
        assert values["rate"] == learning_rate(step - 1, config)
        assert all(math.isfinite(value) for value in values.values())
        assert all(0 <= v <= 1 for name, v in values.items() if name.startswith("dice/"))


def test_the_best_weights_are_chosen_on_validation_of_the_average(tmp_path: Path) -> None:
    scores = iter([0.2, 0.5, 0.4, 0.6])
    seen: list[dict[str, Tensor]] = []
    kept: list[float] = []

    def validate(weights: dict[str, Tensor]) -> dict[str, float]:
        seen.append({name: tensor.clone() for name, tensor in weights.items()})
        return {"score": next(scores), "loss": 1.0}

    def keep(weights: dict[str, Tensor], figures: dict[str, float]) -> None:
        assert same(weights, seen[-1])
        kept.append(figures["score"])

    model, notes = make_nano(), Notes()
    position = train(
        model,
        PhantomSampler(4),
        small_config(7),
        tmp_path,
        schedule=Schedule(validate_every=2),
        validate=validate,
        on_best=keep,
        log=notes,
        progress=notes,
    )
    assert kept == [0.2, 0.5, 0.6]
    assert position.best == 0.6
    assert [entry["step"] for entry in position.history] == [2, 4, 6, 7]
    assert [values["val/score"] for _, values in notes.written if "val/score" in values] == [
        0.2,
        0.5,
        0.4,
        0.6,
    ]
    assert not same(seen[-1], {n: t.detach() for n, t in model.state_dict().items()})
    assert model.training


def test_the_best_score_is_remembered_by_a_resumed_run(tmp_path: Path) -> None:
    kept: list[float] = []

    def go(stop_after: int | None, score: float) -> None:
        train(
            make_nano(),
            PhantomSampler(4),
            small_config(4),
            tmp_path,
            schedule=Schedule(validate_every=2),
            validate=lambda weights: {"score": score},
            on_best=lambda weights, figures: kept.append(figures["score"]),
            log=Notes(),
            progress=Notes(stop_after),
        )

    go(2, 0.9)
    go(None, 0.8)
    assert kept == [0.9]


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_state(tmp_path: Path) -> None:
    config = small_config()
    model, _, _ = run(tmp_path, config, stop_after=2)
    before = (tmp_path / STATE_FILE).read_bytes()
    with torch.no_grad():
        model.decoder.level.fill_(math.nan)
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(InternalError, match="loss of step 0 is nan"):
        run(broken, config, model=model, save_every=1)
    assert list(broken.iterdir()) == []
    assert (tmp_path / STATE_FILE).read_bytes() == before


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_nano()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.decoder.level.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(InternalError, match="gradient of step 0 is"):
        run(tmp_path, small_config(), model=model)
    assert same(before, dict(model.state_dict()))


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    config = small_config(
        24,
        stages=(replace(small_config().stages[0], share=1.0, requests=6),),
        odds=(1.0, 0.0, 0.0),
        peak_rate=4e-3,
    )
    _, _, notes = run(tmp_path, config)
    losses = [float(message.split()[1]) for _, _, message in notes.reported]
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])
