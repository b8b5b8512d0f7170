from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medprism.core.errors import ExpiredError, InUseError
from medprism.project.project import Project


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(folder: Path, clock: Clock) -> Iterator[Project]:
    project = Project(folder, lease_seconds=60.0, clock=clock)
    project.scan()
    yield project
    project.close()


def test_two_people_on_one_image_get_a_clear_answer(timed: Project, clock: Clock) -> None:
    timed.leases.acquire(1, "Ada")
    with pytest.raises(InUseError, match="Ada works on this image since 13:46 UTC") as refused:
        timed.leases.acquire(1, "Grace")
    assert refused.value.author == "Ada"
    assert refused.value.until > refused.value.since
    timed.leases.acquire(2, "Grace")
    assert [one.author for one in timed.leases.all()] == ["Ada", "Grace"]


def test_a_lease_that_is_renewed_lasts(timed: Project, clock: Clock) -> None:
    lease = timed.leases.acquire(1, "Ada")
    for _ in range(5):
        clock.time += 50
        lease = timed.leases.renew(lease.holder)
    assert timed.leases.remaining(lease) == 60.0
    clock.time += 61
    assert timed.leases.of(1) is None
    with pytest.raises(ExpiredError, match="open the image again"):
        timed.leases.renew(lease.holder)
    assert timed.leases.acquire(1, "Grace").author == "Grace"


def test_taking_over_ends_the_other_session(timed: Project) -> None:
    ada = timed.leases.acquire(1, "Ada")
    grace = timed.leases.acquire(1, "Grace", take_over=True)
    with pytest.raises(ExpiredError):
        timed.leases.renew(ada.holder)
    timed.leases.release(ada.holder)
    assert timed.leases.renew(grace.holder).author == "Grace"
    timed.leases.release(grace.holder)
    timed.leases.release(grace.holder)
    assert timed.leases.of(1) is None
