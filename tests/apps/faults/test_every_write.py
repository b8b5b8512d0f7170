"""Training, preparation, prediction, export and annotation on a disk that gives way anywhere.

`make test` looks at some of the calls, `make slow` at every one, `make soak` at any moment.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from medprism.core.randomness import counter_rng
from tests.apps.faults.scenes import SCENES
from tests.apps.faults.stage import Stage
from tests.apps.faults.worker import Worker

KILLS = 20
# In `make test`: one call of so many, and one of so many kills is gone on after.
SPARSE = 8
# Bytes that a file may have: none, less than a header, more than some and less than others.
LIMITS = (0, 60, 3000)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.close()


@pytest.fixture(scope="module", params=list(SCENES))
def stage(
    request: pytest.FixtureRequest, worker: Worker, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    return Stage(request.param, worker, tmp_path_factory.mktemp(request.param))


def _kill_at(stage: Stage, every: int) -> None:
    assert stage.points >= stage.scene.least_points
    for at in range(1, stage.points + 1, every):
        stage.set_back()
        ended = stage.run(at=at, how="kill")
        assert ended.status == -signal.SIGKILL
        stage.check(ended)
        if (at // every) % every == 0:
            stage.finish()
    stage.set_back()
    # There was no call more.
    assert stage.run(at=stage.points + 1, how="kill").status == 0


def test_killed_at_calls_that_change_the_disk(stage: Stage) -> None:
    _kill_at(stage, SPARSE)


@pytest.mark.slow
def test_killed_at_every_call_and_gone_on_with_each_time(stage: Stage) -> None:
    _kill_at(stage, 1)


def _refuse_from(stage: Stage, how: str, every: int) -> None:
    for at in range(1, stage.points + 1, every):
        stage.set_back()
        ended = stage.run(at=at, how=how)
        assert ended.status in (0, 2)
        assert "\n" not in ended.said
        stage.check(ended)
        # A full disk lets go of what was begun; one that is read-only cannot.
        if how == "full" and stage.name not in ("preparation", "training"):
            assert stage.left == []
        stage.finish()


@pytest.mark.parametrize("how", ["full", "readonly"])
def test_a_disk_that_is_full_or_read_only_is_a_sentence(stage: Stage, how: str) -> None:
    _refuse_from(stage, how, stage.points // 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "readonly"])
def test_a_disk_that_is_full_or_read_only_from_any_call_on(stage: Stage, how: str) -> None:
    _refuse_from(stage, how, 1)


def test_what_the_kernel_refuses_is_a_sentence(stage: Stage) -> None:
    for size in LIMITS:
        stage.set_back()
        ended = stage.run(at=size, how="limit")
        assert ended.status == 2 or size == LIMITS[-1], ended
        assert "\n" not in ended.said
        stage.check(ended)
    stage.finish()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_killed_at_any_moment(stage: Stage) -> None:
    stage.set_back()
    seconds, number, killed = stage.seconds, 0, 0
    while killed < KILLS:
        share = float(counter_rng(number, stage.name, "moment").uniform())
        number += 1
        assert number < 10 * KILLS, "nearly all of them were done before they were killed"
        ended = stage.run(kill_after=share * seconds)
        stage.check(ended)
        if ended.status == 0:
            seconds = min(seconds, ended.seconds)
            stage.set_back()
        else:
            killed += 1
    stage.finish()
