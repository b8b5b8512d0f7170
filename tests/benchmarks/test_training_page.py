from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from benchmarks.training_page import draw, read_lineage, read_log

from medprism.core.errors import ConfigError


def _write(path: Path, times: dict[int, float]) -> Path:
    lines = [
        {"step": step, "time": time, "loss/semantic": 1.0 / step, "val/one-shot": 0.5}
        for step, time in times.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_time_in_which_a_run_stood_still_is_not_counted(tmp_path: Path) -> None:
    first = _write(tmp_path / "1.jsonl", {20: 0.0, 40: 60.0, 60: 120.0, 80: 9000.0, 100: 9060.0})
    second = _write(tmp_path / "2.jsonl", {20: 20000.0, 40: 20090.0})
    one, other = read_lineage([first, second])
    assert one.minutes == (0.0, 1.0, 2.0, 2.0, 3.0)
    assert other.minutes == (3.0, 4.5)
    assert other.series("val/one-shot") == ([3.0, 4.5], [0.5, 0.5])
    assert other.series("val/semantic") == ([], [])


def test_a_clock_that_was_set_back_takes_no_work_away(tmp_path: Path) -> None:
    path = _write(tmp_path / "1.jsonl", {20: 5000.0, 40: 5060.0, 60: 1000.0, 80: 1060.0})
    assert read_log(path).minutes == (0.0, 1.0, 1.0, 2.0)


def test_a_step_done_twice_counts_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "1.jsonl", {20: 0.0, 40: 60.0, 60: 110.0})
    with path.open("a") as file:
        file.write(json.dumps({"step": 60, "time": 130.0, "loss/semantic": 0.25}) + "\n")
    log = read_log(path)
    assert [line["step"] for line in log.lines] == [20, 40, 60]
    assert log.series("loss/semantic")[1][-1] == 0.25


def test_an_empty_log_is_named(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.write_text("")
    with pytest.raises(ConfigError, match=r"1\.jsonl has no line"):
        read_log(path)


def test_the_picture_shows_both_runs(tmp_path: Path) -> None:
    logs = read_lineage(
        [
            _write(tmp_path / "1.jsonl", {20: 0.0, 40: 60.0}),
            _write(tmp_path / "2.jsonl", {20: 70.0, 40: 130.0}),
        ]
    )
    draw(logs, tmp_path / "training.png")
    picture = cv2.imread(str(tmp_path / "training.png"))
    assert picture is not None and picture.std() > 5
