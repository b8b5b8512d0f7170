from __future__ import annotations

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medprism.core.errors import WriteError
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


def test_a_line_that_a_kill_tore_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    JsonLines(path).scalars(1, {"loss": 1.0})
    whole = path.read_bytes()
    for torn in (b'{"step": 2, "lo', b"{", b'{"step": 2}'):
        path.write_bytes(whole + torn)
        log = JsonLines(path)
        assert path.read_bytes() == whole
        log.scalars(2, {"loss": 0.5})
        assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
    path.write_bytes(b'{"step": 1')
    JsonLines(path)
    assert path.read_bytes() == b""


def test_a_disk_that_refuses_figures_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WriteError, match=r"cannot write the figures of the run to .*log\.jsonl"):
        JsonLines(tmp_path / "nowhere" / "log.jsonl").scalars(1, {"loss": 1.0})
    board = figures.TensorBoard(tmp_path / "tensorboard")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board._writer, "add_scalar", full)
    with pytest.raises(WriteError, match="No space left on device.*go on with --resume"):
        board.scalars(1, {"loss": 1.0})
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot write the figures"):
        figures.TensorBoard(tmp_path / "file")
