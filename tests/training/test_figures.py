from __future__ import annotations

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medprism.training import figures
from medprism.training.figures import JsonLines, Shows, open_logs

PICTURE = np.zeros((6, 9, 3), np.uint8)


class _Notes:
    def __init__(self) -> None:
        self.figures: list[tuple[int, dict[str, float]]] = []
        self.names: list[str] = []

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.figures.append((step, values))

    def pictures(self, named: dict[str, np.ndarray]) -> None:
        self.names.extend(named)


def test_figures_and_pictures_reach_every_log(tmp_path: Path) -> None:
    notes = _Notes()
    assert isinstance(notes, Shows)
    logs = open_logs(tmp_path, notes)
    logs.scalars(1, {"loss/semantic": 1.5})
    logs.pictures({"sample 0": PICTURE})
    logs.scalars(20, {"val/score": 0.25, "loss/semantic": 1.0})
    logs.scalars(21, {"loss/semantic": 0.9})
    assert [step for step, _ in notes.figures] == [1, 20, 21]
    assert notes.names == ["sample 0"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line.get("val/score")) for line in lines] == [
        *((1, None), (20, 0.25), (21, None))
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss/semantic")] == [1, 20, 21]
    (shown,) = board.Images("sample 0")
    assert (shown.step, shown.height, shown.width) == (20, 6, 9)


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for step in (1, 2):
        log = JsonLines(tmp_path / "log.jsonl")
        log.scalars(step, {"a": 0.5})
        log.pictures({"ignored": PICTURE})
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_without_tensorboard_the_file_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda _: None)
    real_import = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        assert "tensorboard" not in name
        return real_import(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    open_logs(tmp_path).scalars(3, {"a": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
