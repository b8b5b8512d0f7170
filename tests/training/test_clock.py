"""A run on a machine whose clock is set back while it trains."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest

from medprism.training.figures import JsonLines

from .runs import everything, run, same, small_config, steps_done


def test_going_on_after_the_clock_was_set_back_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(3)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    run(tmp_path / "whole", config)
    _, before, _ = run(tmp_path / "parts", config, stop_after=1)
    backwards = itertools.count(0, -1000)
    monkeypatch.setattr(time, "time", lambda: float(next(backwards)))
    _, after, _ = run(tmp_path / "parts", config)
    assert steps_done(tmp_path / "parts") == 3
    assert after.seconds > before.seconds > 0
    assert same(everything(tmp_path / "whole", config), everything(tmp_path / "parts", config))
    log = JsonLines(tmp_path / "log.jsonl")
    for step in (1, 2):
        log.scalars(step, {"loss": 1.0})
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
