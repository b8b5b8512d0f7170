from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from medprism.core.errors import CancelledError, StoreError
from medprism.data import conversion, preparation
from medprism.data.conversion import Converted, Task
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from tests.data.phantoms import store_files, write_dataset, write_volumes


class _Cancelling:
    """Progress that asks to stop after some cases."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.reports: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        if not message.startswith("looking"):
            self.reports.append((done, total, message))

    def is_cancelled(self) -> bool:
        return len(self.reports) == self.after


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pieces that are read."""
    names: list[str] = []
    real = conversion.convert

    def convert(task: Task) -> Converted:
        names.append(task.piece.name)
        return real(task)

    monkeypatch.setattr(conversion, "convert", convert)
    return names


def test_progress_counts_cases_and_a_volume_is_one(tmp_path: Path) -> None:
    write_dataset(tmp_path / "one", num_patients=1)
    write_volumes(tmp_path / "two", ["a", "b"])
    progress = _Cancelling(-1)
    prepare([tmp_path / "one", tmp_path / "two"], tmp_path / "store", progress=progress)
    expected = [(1, 5, "one"), (2, 5, "one"), (3, 5, "one"), (4, 5, "two"), (5, 5, "two")]
    assert progress.reports == expected
    assert prepare([tmp_path / "one"], tmp_path / "store", progress=progress).datasets
    assert progress.reports == expected


def test_a_cancelled_run_changes_nothing_and_the_next_one_goes_on(
    tmp_path: Path, converted: list[str]
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        write_dataset(folder, num_patients=1)
    progress = _Cancelling(5)
    with pytest.raises(CancelledError, match="former store is unchanged"):
        prepare(folders, tmp_path / "store", progress=progress)
    assert [done for done, _, _ in progress.reports] == [1, 2, 3, 4, 5]
    with pytest.raises(StoreError, match="holds no slice store"):
        SliceStore.open(tmp_path / "store")
    first = list(converted)
    converted.clear()
    resumed = _Cancelling(-1)
    report = prepare(folders, tmp_path / "store", progress=resumed)
    assert [one.was_prepared for one in report.datasets] == [True, True, True]
    # The set that was finished is whole; of the second two pieces were.
    assert resumed.reports[0] == (3, 6, "two")
    assert len(first) == 5
    assert len(converted) == 4
    prepare(folders, tmp_path / "other")
    assert store_files(tmp_path / "store") == store_files(tmp_path / "other")


def test_what_is_left_of_other_runs_is_removed(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        write_dataset(folder, num_patients=1)
    out = tmp_path / "store"
    with pytest.raises(CancelledError):
        prepare(folders, out, progress=_Cancelling(4))
    assert list(out.glob(".partial-two-*"))
    stale = [out / ".writing-x.bin", out / "splits" / ".writing-y.json", out / ".partial-old.bin"]
    (out / "splits").mkdir(exist_ok=True)
    for path in stale:
        path.write_bytes(b"half")
    prepare(folders[:1], out)
    assert not any(path.exists() for path in stale)
    assert sorted(path.name.split("-")[0] for path in out.iterdir() if path.is_file()) == [
        "one",
        "one",
        "one.sources.json",
        "prepare.lock",
        "store.json",
    ]


def test_cancelling_stops_the_reading_of_sources_too(tmp_path: Path) -> None:
    write_dataset(tmp_path / "one", num_patients=1)
    with pytest.raises(CancelledError, match="goes on where it stopped"):
        prepare([tmp_path / "one"], tmp_path / "store", progress=_Cancelling(0))


class _Deadly:
    """Progress that writes down the workers and kills this process after three cases."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def report(self, done: int, total: int, message: str = "") -> None:
        if done == 3:
            pids = [child.pid for child in multiprocessing.active_children()]
            (self._out / "pids").write_text(json.dumps(pids))
            os.kill(os.getpid(), signal.SIGKILL)

    def is_cancelled(self) -> bool:
        return False


def _prepare_and_die(folder: str, out: str) -> None:
    conversion.PATIENCE_S = 0.0  # type: ignore[misc]
    preparation.available_cores = lambda: 2
    prepare([Path(folder)], Path(out), PrepareConfig(workers=2), _Deadly(Path(out)))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_killed_run_leaves_no_worker_and_the_next_one_goes_on(
    tmp_path: Path, converted: list[str]
) -> None:
    write_volumes(tmp_path / "set", ["a", "b", "c", "d", "e"])
    out = tmp_path / "store"
    process = multiprocessing.get_context("spawn").Process(
        target=_prepare_and_die, args=(str(tmp_path / "set"), str(out))
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    workers = json.loads((out / "pids").read_text())
    assert workers
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in workers)
    with pytest.raises(StoreError, match="holds no slice store"):
        SliceStore.open(out)
    prepare([tmp_path / "set"], out)
    assert converted == ["d", "e"]
    (out / "pids").unlink()
    prepare([tmp_path / "set"], tmp_path / "other")
    assert store_files(out) == store_files(tmp_path / "other")
