from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from medprism.apps.cli.training_bar import TrainingBar
from medprism.data.datasets.discovery import find_datasets
from medprism.data.preparation import PrepareConfig, prepare
from medprism.models.checkpoint import load_checkpoint
from medprism.training.loop import STATE_FILE
from medprism.training.run_record import RunRecord
from medprism.training.state import read_document
from tests.apps.conftest import Command
from tests.evaluation.phantoms import write_scenes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one set of three structures."""
    root = tmp_path_factory.mktemp("data")
    write_scenes(root / "scenes", cases={"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]})
    return root


def test_a_run_from_folders_to_a_checkpoint_that_segments(
    medprism: Command, data: Path, picture: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = medprism("train", "kprism-nano", "--data", data, "--out", run, "--steps", "4")
    assert ended.status == 0, ended.err
    assert f"{run}: 4 of 4 steps, best score 0." in ended.out
    assert str(run / "best.safetensors") in ended.out
    assert (run / "store" / "store.json").exists()
    figures = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert any("val/score" in line for line in figures)
    predicted = medprism(
        *("predict", picture, "-o", tmp_path / "m.png", "--classes", "liver"),
        *("--model", run / "best.safetensors"),
    )
    assert predicted.status == 0, predicted.err
    again = medprism("train", "kprism-nano", "--data", data, "--out", run, "--steps", "4")
    assert again.status == 2
    assert "holds a run already" in again.err


def test_ctrl_c_stops_at_the_next_step_and_says_how_to_go_on(
    medprism: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = TrainingBar.report

    def interrupt(self: TrainingBar, done: int, total: int, message: str = "") -> None:
        report(self, done, total, message)
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    run = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(TrainingBar, "report", interrupt)
        ended = medprism("train", "kprism-nano", "--data", data, "--out", run, "--steps", "6")
    assert ended.status == 130
    assert f"{run}: 3 of 6 steps" in ended.out
    assert f"go on with: medprism train kprism-nano --out {run} --resume" in ended.err
    assert signal.getsignal(signal.SIGINT) == before
    assert load_checkpoint(run / "last.safetensors").info.training["steps"] == 3
    resumed = medprism("train", "kprism-nano", "--out", run, "--resume", "--threads", "1")
    assert resumed.status == 0
    assert "6 of 6 steps" in resumed.out


def test_a_store_minutes_licences_and_a_checkpoint_to_begin_with(
    medprism: Command, data: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert medprism("data", "prepare", data, "--store", store).status == 0
    first = medprism(
        *("train", "kprism-nano", "--store", store, "--out", tmp_path / "a", "--steps", "1"),
        *("--synthetic", "0.5", "--task-change", "0.25", "--licences", "unknown"),
        *("--seed", "0"),
    )
    assert first.status == 0, first.err
    second = medprism(
        *("train", "kprism-nano", "--store", store, "--out", tmp_path / "b", "--minutes", "0.2"),
        *("--init", tmp_path / "a" / "last.safetensors"),
    )
    assert second.status in (0, 2), second.err
    one = RunRecord.load(tmp_path / "a")
    assert (one.synthetic, one.task_change, one.sets) == (0.5, 0.25, ("scenes",))
    assert one.config.seed == 0
    if second.status == 2:
        # A machine under heavy load: not even one step fits.
        assert "minutes are too few" in second.err
        return
    other = RunRecord.load(tmp_path / "b")
    assert other.start == str(tmp_path / "a" / "last.safetensors")
    assert other.timing["minutes"] == 0.2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", "3"), "give either --data"),
        (("--data", "{data}", "--store", "x", "--steps", "3"), "give either --data"),
        (("--store", "{data}", "--steps", "3"), "holds no slice store"),
        (("--data", "{data}"), "either in steps or in minutes"),
        (("--data", "{data}", "--steps", "3", "--licences", "free"), "--licences has no 'free'"),
        (("--data", "{data}", "--steps", "3", "--licences", "yes"), "no training set with licence"),
        (("--data", "{data}", "--steps", "3", "--threads", "0"), "--threads must be at least 1"),
        (("--data", "{data}", "--steps", "3", "--init", "none.safetensors"), "no checkpoint at"),
        (("--resume",), "run.json cannot be read"),
        (("--resume", "--steps", "9"), "--steps was fixed when the run"),
        (("--resume", "--seed", "0"), "--seed was fixed when the run"),
    ],
)
def test_mistakes_are_one_sentence(
    medprism: Command, data: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    arguments = [option.format(data=data) for option in options]
    ended = medprism("train", "kprism-nano", "--out", tmp_path / "run", *arguments)
    assert ended.status == 2
    assert said in ended.err.splitlines()[-1]
    assert ended.out == ""
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_unknown_recipe_lists_those_there_are(
    medprism: Command, data: Path, tmp_path: Path
) -> None:
    ended = medprism(
        "train", "kprism-huge", "--data", data, "--out", tmp_path / "r", "--steps", "1"
    )
    assert ended.status == 2
    assert "there is kprism-compact" in ended.err


def test_going_on_with_another_recipe_is_refused(
    medprism: Command, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    medprism("train", "kprism-nano", "--data", data, "--out", run, "--steps", "1")
    ended = medprism("train", "kprism-compact", "--out", run, "--resume")
    assert ended.status == 2
    assert "is of kprism-nano, not kprism-compact" in ended.err


def _with_two_processes(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = ["--nproc-per-node", "2", "-m", "medprism.apps.cli", "train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, *program], capture_output=True, text=True, check=False, env=environment
    )


def test_two_processes_of_torchrun_share_a_run(data: Path, tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "run"
    prepare(find_datasets([data]), store, PrepareConfig())
    start = ["kprism-nano", "--store", str(store), "--out", str(out)]
    timed = _with_two_processes([*start, "--minutes", "1"])
    assert timed.returncode != 0
    assert "--minutes 1 cannot be timed with 2 processes" in timed.stderr
    assert not out.exists()
    done = _with_two_processes([*start, "--steps", "3"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("3 of 3 steps") == 1
    assert load_checkpoint(out / "last.safetensors").info.name == "kprism-nano"


def test_a_step_may_take_less_memory(medprism: Command, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    start = ("train", "kprism-nano", "--data", data, "--out", run, "--steps", "2")
    ended = medprism(*start, "--accumulate", "2", "--recompute")
    assert ended.status == 0, ended.err
    # Neither belongs to the run.
    assert "recompute" not in (run / "run.json").read_text()
    none = medprism("train", "kprism-nano", "--out", tmp_path / "r", "--accumulate", "0")
    assert none.status == 2
    assert "--accumulate must be at least 1" in none.err


def _ranks(out: Path) -> list[int]:
    """Return the processes of this machine that train in a folder, but not their launcher."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        is_run = b"medprism.apps.cli" in words and str(out).encode() in words
        if is_run and b"torch.distributed.run" not in words:
            found.append(int(place.parent.name))
    return found


@pytest.mark.slow
def test_killing_one_process_of_torchrun_ends_the_run_and_it_goes_on(
    data: Path, tmp_path: Path
) -> None:
    store, out = tmp_path / "store", tmp_path / "run"
    prepare(find_datasets([data]), store, PrepareConfig())
    start = ["kprism-nano", "--store", str(store), "--out", str(out), "--steps", "300"]
    ended: list[subprocess.CompletedProcess[str]] = []
    launcher = threading.Thread(target=lambda: ended.append(_with_two_processes(start)))
    launcher.start()
    # The first state is written after 100 steps.
    limit = time.monotonic() + 400
    while not (out / STATE_FILE).exists():
        assert time.monotonic() < limit and launcher.is_alive()
        time.sleep(0.05)
    os.kill(max(_ranks(out)), signal.SIGKILL)
    launcher.join()
    assert ended[0].returncode != 0
    assert "another of the 2 processes of this run has ended" in ended[0].stderr
    done = read_document(out / STATE_FILE)["step"]
    assert done % 100 == 0 and 0 < done < 300
    resumed = _with_two_processes(["kprism-nano", "--out", str(out), "--resume"])
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert resumed.stdout.count("300 of 300 steps") == 1
