"""A child that does what it should, and children that do not."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import ConfigError
from medprism.evaluation.bench.official.process import (
    ENDED,
    FAILED,
    TOO_LATE,
    UNREADABLE,
    RunnerError,
    RunnerProcess,
    find_program,
)
from medprism.evaluation.bench.official.runner import GREETING
from tests.evaluation.bench.official.packages import REACH, sam2_file

HELLO = GREETING.decode().strip()


def program(folder: Path, *lines: str) -> str:
    """Write a shell script that stands in for an interpreter."""
    path = folder / "python"
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return str(path)


def runner_of(folder: Path, *lines: str, seconds: float = 20.0) -> RunnerProcess:
    return RunnerProcess("sam2", program(folder, *lines), seconds=seconds)


def loaded(runner: RunnerProcess, folder: Path) -> None:
    """Load SAM 2 and open a picture of two halves."""
    runner.ask("find")
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    weights = str(sam2_file(folder))
    runner.ask("load", weights=weights, config=config, device="cpu", threads=1)
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 12:] = 5 * REACH
    runner.ask("image", picture)


def test_a_package_answers_through_whatever_it_prints(python: str, tmp_path: Path) -> None:
    with RunnerProcess("sam2", python, seconds=60.0) as runner:
        assert not runner.is_running
        loaded(runner, tmp_path)
        assert runner.is_running
        runner.ask("start")
        _, mask = runner.ask("click", row=3, col=20, is_positive=True)
        assert mask is not None and mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, np.arange(30) + np.zeros((20, 1)) >= 12)
        with pytest.raises(RunnerError, match="AssertionError") as failed:
            runner.ask("click", row=25, col=3, is_positive=True)
        assert failed.value.kind == FAILED
        # The child has survived its own error.
        assert runner.ask("start")[0]["bytes"] == 0
    assert not runner.is_running


def test_what_an_interpreter_prints_before_it_starts_does_no_harm(
    python: str, tmp_path: Path
) -> None:
    wrapped = ("echo 'activating an environment'", "echo; echo '{}'", f'exec {sys.executable} "$@"')
    with runner_of(tmp_path, *wrapped, seconds=60.0) as runner:
        loaded(runner, tmp_path)


def test_a_killed_child_is_an_error_and_the_next_request_starts_another(
    python: str, tmp_path: Path
) -> None:
    with RunnerProcess("sam2", python, seconds=60.0) as runner:
        runner.ask("find")
        child = runner._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(RunnerError, match="ended by signal 9") as ended:
            runner.ask("find")
        assert ended.value.kind == ENDED
        assert not runner.is_running
        assert "version" in runner.ask("find")[0]


def test_a_child_that_ends_leaves_its_last_words(tmp_path: Path) -> None:
    said = "ModuleNotFoundError: No module named 'numpy'"
    lines = ("echo Traceback >&2", f'echo "{said}" >&2', "echo >&2", "exit 3")
    with runner_of(tmp_path, *lines) as runner, pytest.raises(RunnerError) as ended:
        runner.ask("find")
    assert ended.value.kind == ENDED
    assert str(ended.value) == f"sam2 in python ended with status 3; its last words: {said}"


@pytest.mark.parametrize("hello", [f"echo '{HELLO}'", "true"], ids=["greets", "never greets"])
def test_a_child_that_says_nothing_is_stopped_in_time_with_all_it_started(
    tmp_path: Path, hello: str
) -> None:
    pid = tmp_path / "pid"
    lines = (hello, "sleep 300 &", f"echo $! > {pid}.part; mv {pid}.part {pid}", "sleep 300")
    with runner_of(tmp_path, *lines, seconds=1.0) as runner:
        started = time.monotonic()
        with pytest.raises(RunnerError, match="no answer within 1 s") as late:
            runner.ask("find")
        assert late.value.kind == TOO_LATE
        assert time.monotonic() - started < 15
        assert not runner.is_running
    assert ends(int(pid.read_text()))


def ends(number: int) -> bool:
    """Wait until a process is gone, or only its entry is left."""
    for _ in range(100):
        try:
            stat = Path(f"/proc/{number}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_a_child_that_does_not_listen_is_stopped_in_time(tmp_path: Path) -> None:
    large = np.zeros(2**20, np.uint8)
    with (
        runner_of(tmp_path, f"echo '{HELLO}'", "exec sleep 300", seconds=0.5) as runner,
        pytest.raises(RunnerError) as late,
    ):
        runner.ask("image", large)
    assert late.value.kind == TOO_LATE
    with (
        runner_of(tmp_path, f"echo '{HELLO}'", "exec 0<&-; sleep 0.2; exit 1") as runner,
        pytest.raises(RunnerError) as ended,
    ):
        runner.ask("image", large)
    assert ended.value.kind == ENDED


@pytest.mark.parametrize(
    "answer",
    [
        "loss: 0.3",
        "[1, 2]",
        "{}",
        '{\\"bytes\\": -1}',
        '{\\"bytes\\": 99999999999}',
        '{\\"bytes\\": \\"many\\"}',
        '{\\"bytes\\": 9}\\n123456789',
        "\\377\\376",
    ],
)
def test_junk_is_no_answer(tmp_path: Path, answer: str) -> None:
    lines = (f"echo '{HELLO}'", "read request", f'printf "{answer}\\n"', "sleep 300")
    with runner_of(tmp_path, *lines) as runner:
        with pytest.raises(RunnerError, match="sent what is no answer") as junk:
            runner.ask("find")
        assert not runner.is_running
    assert junk.value.kind == UNREADABLE


def test_endless_junk_is_stopped(tmp_path: Path) -> None:
    for lines in (("yes",), ("yes | tr -d '\\n'",)):
        with runner_of(tmp_path, *lines) as runner, pytest.raises(RunnerError) as junk:
            runner.ask("find")
        assert junk.value.kind == UNREADABLE


def test_half_an_array_is_an_end(tmp_path: Path) -> None:
    lines = (f"echo '{HELLO}'", "read request", "echo '{\"bytes\": 100}'", "echo half")
    with runner_of(tmp_path, *lines) as runner, pytest.raises(RunnerError) as ended:
        runner.ask("find")
    assert ended.value.kind == ENDED


def test_what_is_no_program_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for name in ("no-such-python", str(tmp_path / "text"), str(tmp_path)):
        with pytest.raises(ConfigError, match="no program that can be run"):
            find_program(name)
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    runner = RunnerProcess("sam2", str(broken), seconds=5.0)
    with pytest.raises(ConfigError, match="cannot be started"):
        runner.ask("find")
    assert not runner.is_running


def test_a_virtual_environment_keeps_its_place(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert find_program(str(link)) == str(link)


def test_nothing_is_started_before_it_is_asked(tmp_path: Path) -> None:
    with runner_of(tmp_path, f"touch {tmp_path}/started") as runner:
        runner.close()
    assert not (tmp_path / "started").exists()
