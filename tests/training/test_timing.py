from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from medprism.core.errors import ConfigError
from medprism.data.episode import Episode
from medprism.training import timing
from medprism.training.config import StageConfig
from medprism.training.timing import FEWEST, WARM_UP, Timing, steps_within, time_steps
from tests.training.phantom_sampler import PhantomSampler
from tests.training.runs import make_nano, small_config


class _SlowSampler(PhantomSampler):
    """Draws phantoms, taking a while over large ones."""

    def draw(self, seed: int, step: int, **wishes: object) -> Episode:  # type: ignore[override]
        time.sleep(0.15 if wishes["size"] == 64 else 0.0)
        return super().draw(seed, step, **wishes)  # type: ignore[arg-type]


def test_every_stage_is_timed_on_its_own() -> None:
    sizes: list[object] = []

    class Noting(_SlowSampler):
        def draw(self, seed: int, step: int, **wishes: object) -> Episode:  # type: ignore[override]
            sizes.append(wishes["size"])
            return super().draw(seed, step, **wishes)

    found = time_steps(make_nano, Noting(4), small_config(), minutes=0.001)
    assert min(found.seconds_per_step) > 0
    # A step of the second stage lasts at least as long as drawing its batch.
    assert found.seconds_per_step[1] > 0.14
    assert found.seconds_spent > 0.14 * FEWEST
    first = sizes.index(64)
    assert set(sizes[:first]) == {48} and set(sizes[first:]) == {64}


def test_more_minutes_time_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def pretend(
        model: object, sampler: object, config: object, folder: Path, **parts: object
    ) -> None:
        watch = parts["progress"]
        done = 0
        while True:
            done += 1
            watch.report(done, 1)  # type: ignore[attr-defined]
            if watch.is_cancelled():  # type: ignore[attr-defined]
                break
        counts.append(done)

    monkeypatch.setattr(timing, "train", pretend)
    for minutes in (0.1, 20.0):
        ticks = itertools.count()
        found = time_steps(
            make_nano,
            PhantomSampler(4),
            small_config(),
            minutes,
            clock=lambda ticks=ticks: float(next(ticks)),  # type: ignore[misc]
        )
        assert found.seconds_per_step == (1.0, 1.0)
        assert found.seconds_spent == sum(counts[-2:]) + 1
    assert counts[0] == WARM_UP + FEWEST
    assert counts[-1] == WARM_UP + round(timing.SHARE * 20 * 60)


def _measured(*seconds: float, spent: float = 0.0) -> Timing:
    return Timing(seconds, spent)


@pytest.mark.parametrize(
    ("minutes", "beside", "expected"),
    [(1.0, 0.0, 291), (2.0, 0.0, 582), (2.0, 60.0, 291)],
)
def test_steps_fill_the_minutes_that_are_left(minutes: float, beside: float, expected: int) -> None:
    # Both stages share the steps evenly, so a step takes 0.2 s on average.
    assert steps_within(small_config(), _measured(0.1, 0.3), minutes, beside) == expected


def test_the_time_that_timing_took_is_part_of_the_minutes() -> None:
    assert steps_within(small_config(), _measured(0.1, 0.3, spent=60.0), 2.0) == 291


def test_a_longer_stage_weighs_more() -> None:
    stages = (
        StageConfig(size=48, share=0.9, requests=3),
        StageConfig(size=64, share=0.1, requests=2),
    )
    config = small_config(stages=stages)
    assert steps_within(config, _measured(0.1, 1.1), 1.0) == round(0.97 * 60 / 0.2)


def test_too_few_minutes_are_refused_with_what_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"0.1 minutes are too few.* take 1\.2"):
        steps_within(small_config(), _measured(0.1, 0.3, spent=60.0), 0.1, 12.0)
