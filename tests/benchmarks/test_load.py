"""Many people at the real server: short with an untrained nano, in full with `make soak`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.load import Load, LoadSettings, growth_a_minute, run_load, to_markdown

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.engines.loading import shipped_path
from tests.untrained import save_untrained


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_untrained(path)
    return path


def test_two_people_for_a_few_seconds(nano: Path) -> None:
    settings = LoadSettings(people=2, pause=0.5, clicks=3, seconds=6.0, warm_up=1.0)
    load = run_load(str(nano), settings)
    assert load.errors == ()
    # Each of them clicks every half second unless the machine is very busy, and never more often.
    assert 6 <= load.clicks <= 2 * (6 / 0.5 + 3)
    assert load.images >= 2
    assert 0 < load.p50 <= load.p95 <= load.p99 < 10_000
    assert load.megabytes_after > 50
    assert len(load.memory) >= 5
    assert 0 < load.processor <= load.processors
    page = to_markdown(load, settings, "nano")
    assert f"| {load.clicks} |" in page and "| errors | 0 |" in page


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_sixteen_people_for_ten_minutes_after_the_warm_up() -> None:
    if not shipped_path("kprism-compact").is_file():
        pytest.skip("the checkout ships no weights of kprism-compact")
    load = run_load("kprism-compact", LoadSettings())
    assert load.errors == ()
    assert load.clicks >= 0.95 * 16 * 1200 / 2
    assert load.growth < 1.0, (load.growth, load.growth_error)
    # The queue does not grow: masks are there before the next click is due.
    assert load.p95 < 2000, load.p95


def test_growth_is_the_slope_after_the_warm_up() -> None:
    moments = np.arange(0.0, 601.0)
    filling = np.minimum(moments, 120.0) * 4
    leaking = filling + np.maximum(moments - 120, 0) * 1.5 / 60
    # When the last have left, memory falls; what is no whole minute does not count.
    filling[-1] = leaking[-1] = 0
    seconds = moments.tolist()
    assert growth_a_minute(seconds, filling.tolist(), 120.0) == pytest.approx((0, 0), abs=1e-6)
    assert growth_a_minute(seconds, leaking.tolist(), 120.0) == pytest.approx((1.5, 0), abs=1e-6)
    assert growth_a_minute(seconds, filling.tolist(), 0.0)[0] > 10
    assert all(math.isnan(one) for one in growth_a_minute([0.0, 1.0], [5.0, 6.0], 30.0))


def test_the_error_of_the_growth_covers_a_memory_that_only_swings() -> None:
    slopes, errors = [], []
    for seed in range(60):
        rng = counter_rng(seed, "memory that swings")
        # Every ten seconds what was freed goes back, more or less of it.
        level = np.repeat(rng.normal(1000, 10, 60), 10) + np.tile(np.arange(10.0), 60)
        slope, error = growth_a_minute(np.arange(600.0).tolist() + [600.0], [*level, 0.0], 0.0)
        slopes.append(slope)
        errors.append(error)
    assert float(np.mean(errors)) == pytest.approx(float(np.std(slopes)), rel=0.3)


def test_there_are_images_for_everybody_until_the_end() -> None:
    settings = LoadSettings(people=3, pause=1.0, clicks=4, seconds=60.0, warm_up=0.0)
    assert settings.images * settings.clicks >= 3 * 60


def test_a_load_without_an_end_or_people_is_refused() -> None:
    for wrong in ({"warm_up": 1200.0}, {"people": 0}, {"clicks": 0}, {"pause": 0.0}):
        with pytest.raises(ConfigError):
            replace(LoadSettings(), **wrong)


def test_the_report_names_errors_and_late_masks() -> None:
    load = Load(
        clicks=12,
        images=3,
        errors=("MedprismError: full",),
        p50=10.0,
        p95=20.0,
        p99=30.0,
        late=7,
        going_on_p95=40.0,
        megabytes_before=500.0,
        megabytes_after=512.0,
        growth=0.25,
        growth_error=0.125,
        memory=((0.0, 500.0), (1.0, 512.0)),
        processor=0.5,
        others=1.25,
        processors=2,
    )
    page = to_markdown(load, LoadSettings(references=True), "some-model")
    for told in (
        "| errors | 1 |",
        "| 7 |",
        "0.25 ± 0.12 MB a minute",
        "1.25",
        "0.50 of 2",
        "some-model",
    ):
        assert told in page
