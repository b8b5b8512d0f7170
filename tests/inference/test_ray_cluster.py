"""Archives through Ray; without Ray (`pip install 'medprism[ray]'`) these tests are skipped."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from medprism.core.errors import ConfigError
from medprism.inference.archive_record import RECORD_FILE
from medprism.inference.cluster import segment_archive
from medprism.inference.ray_cluster import RayCluster
from tests.inference.archives import order_for, write_archive

STUDIES = 40


@pytest.fixture
def ray_is_here() -> Iterator[None]:
    """Skip where Ray is not installed; what Ray warns about in itself is no error of ours."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    yield


def _lines(out: Path) -> list[dict[str, object]]:
    try:
        text = (out / RECORD_FILE).read_text(encoding="utf-8")
    except OSError:
        return []
    found = [json.loads(line) for line in text.splitlines()[1:] if line.endswith("}")]
    return [line for line in found if "mask" in line]


class _Killer:
    """Kills, as the kernel does when memory is short, the first worker that has done a study."""

    def __init__(self, out: Path) -> None:
        self.victim: int | None = None
        self._out = out
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            lines = _lines(self._out)
            if lines:
                self.victim = int(str(lines[0]["worker"]).rpartition(":")[2])
                os.kill(self.victim, signal.SIGKILL)
                return
            time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_killed_worker_loses_nothing(ray_is_here: None, tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "in", STUDIES)
    (folder / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    order, out = order_for(tmp_path / "out", tmp_path / "nano.safetensors"), tmp_path / "out"
    with _Killer(out) as killer:
        report = segment_archive(folder, order, RayCluster(workers=2))
    assert killer.victim is not None
    assert [path.name for path, _ in report.failed] == ["07.png"]
    expected = [f"{number:02d}.png" for number in range(STUDIES) if number != 7]
    assert [Path(one.mask).name for one in report.segmented] == expected
    # Exactly one mask a study, and nothing half-made.
    assert sorted(path.name for path in out.iterdir()) == sorted([*expected, RECORD_FILE])
    workers = {str(line["worker"]) for line in _lines(out)}
    assert len(workers) >= 2
    assert any(not worker.endswith(f":{killer.victim}") for worker in workers)
    again = segment_archive(folder, order, RayCluster(workers=1))
    assert (again.before, len(again.segmented)) == (STUDIES - 1, STUDIES - 1)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"cannot reach a Ray cluster at '127\.0\.0\.1:1' \(.*refused"),
        ("ray://127.0.0.1:1", "cannot reach a Ray cluster"),
        ("head-node", "is no address of a Ray cluster; give HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is(tmp_path: Path, address: str, said: str) -> None:
    folder = write_archive(tmp_path / "in", 1)
    order = order_for(tmp_path / "out", tmp_path / "nano.safetensors")
    with pytest.raises(ConfigError, match=said):
        segment_archive(folder, order, RayCluster(address=address))


def test_without_ray_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = write_archive(tmp_path / "in", 1)
    order = order_for(tmp_path / "out", tmp_path / "nano.safetensors")
    with pytest.raises(ConfigError, match=r"pip install 'medprism\[ray\]'"):
        segment_archive(folder, order, RayCluster())


def test_a_cluster_has_workers() -> None:
    with pytest.raises(ConfigError, match="--workers must be at least 1"):
        RayCluster(workers=0)
