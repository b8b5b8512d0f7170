"""kill -9 at any moment loses nothing that was accepted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.image import Image
from medprism.core.randomness import counter_rng
from medprism.project.masks import as_labels
from medprism.project.project import Project
from tests.project.writer import LABELS, SHAPE, mask_of

KILLS, SOAKED = 20, 200


class Writers:
    """One process that forks a writer for every order."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.project.writer"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, folder: Path, first: int, *, die_at: int = 0, kill_after: int = 0) -> list[int]:
        """Return the numbers that a writer acknowledged before it died."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{folder} {first} {die_at}\n")
        process.stdin.flush()
        accepted: list[int] = []
        pid = 0
        while True:
            word, number = process.stdout.readline().split()
            if word == "pid":
                pid = int(number)
            elif word == "ok":
                accepted.append(int(number))
            else:
                assert int(number) == -signal.SIGKILL
                return accepted
            if not die_at and pid and len(accepted) >= 1:
                time.sleep(float(counter_rng(first, kill_after, "moment").uniform(0, 0.03)))
                os.kill(pid, signal.SIGKILL)
                pid = 0

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    started = Writers()
    yield started
    started.close()


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros(SHAPE, np.uint8))
    project = Project(tmp_path)
    project.scan()
    project.close()
    return tmp_path


def _check(folder: Path, acknowledged: int, *, newest_only: bool = False) -> int:
    """Refuse anything lost or half made; return the number of the mask that is there.

    `newest_only` compares the pixels of the last acceptances alone: their number grows.
    """
    project = Project(folder)
    like = Image.from_array(np.zeros(SHAPE, np.uint8))
    planes, found = as_labels(project.masks, 1, like)
    authors = {one.author for one in found.values()}
    assert len(authors) <= 1, "the labels of one acceptance belong together"
    present = int(authors.pop().split()[1]) if authors else -1
    # The one that was being written may have made it, without anybody being told.
    assert present in (acknowledged, acknowledged + 1)
    if present >= 0:
        assert planes.names == LABELS
        assert all(np.array_equal(planes[one], mask_of(present, one)) for one in LABELS)
        assert [one.acceptance for one in project.examples.find()] == [
            found[one].id for one in LABELS
        ]
    former = sorted(project.masks.of(1, with_former=True), key=lambda one: one.id)
    for one in former[-3 * len(LABELS) :] if newest_only else former:
        expected = mask_of(int(one.author.split()[1]), one.name)
        assert np.array_equal(project.masks.read(one, like), expected)
    known = {one.file for one in former}
    assert {path.name for path in (project.home / "masks").iterdir()} == known
    project.close()
    return present


def test_killed_before_every_single_write(writers: Writers, begun: Path) -> None:
    """Walk through all calls of an acceptance that change the disk, dying before each."""
    present, die_at = -1, 0
    while True:
        die_at += 1
        accepted = writers.run(begun, present + 1, die_at=die_at)
        before = present
        present = _check(begun, accepted[-1] if accepted else before)
        if accepted:
            break
    # Each mask: its name, content, sync, mode, rename, folder; then the statements of the commit.
    assert die_at > 20


def _kill_again_and_again(writers: Writers, folder: Path, times: int) -> None:
    present = -1
    for number in range(times):
        accepted = writers.run(folder, present + 1, kill_after=number)
        # Now and then, and at the end, nothing that was ever accepted is left out.
        is_partial = (number + 1) % KILLS != 0
        acknowledged = accepted[-1] if accepted else present
        present = _check(folder, acknowledged, newest_only=is_partial)
    assert present >= times - 1


def test_killed_at_any_moment(writers: Writers, begun: Path) -> None:
    _kill_again_and_again(writers, begun, KILLS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_at_any_moment_many_times(writers: Writers, begun: Path) -> None:
    _kill_again_and_again(writers, begun, SOAKED)
