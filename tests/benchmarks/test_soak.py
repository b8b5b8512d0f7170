"""Mixed use of the real server: some seconds with a nano, half an hour in `make soak`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.soak import (
    ACTIONS,
    Done,
    Sample,
    Soak,
    SoakSettings,
    judge,
    p95_of,
    run_soak,
    to_json,
    to_markdown,
)

from medprism.core.errors import ConfigError
from medprism.engines.loading import shipped_path
from tests.untrained import save_untrained

SETTINGS = SoakSettings(seconds=1000.0, warm_up=200.0)


def test_everything_is_done_within_seconds(tmp_path: Path) -> None:
    save_untrained(tmp_path / "nano.safetensors")
    settings = SoakSettings(
        people=2,
        pause=0.15,
        seconds=8.0,
        warm_up=1.0,
        images=6,
        export_every=2.0,
        train_every=0.0,
    )
    soak = run_soak(str(tmp_path / "nano.safetensors"), settings)
    assert soak.errors == ()
    done = {one.action for one in soak.done}
    assert done >= set(ACTIONS) - {"redo", "training"}
    assert all(one.handles > 5 and one.megabytes > 50 for one in soak.samples)
    assert "| export |" in to_markdown(soak, settings, "nano")


def _soak(*, leak: float = 0.0, handles: float = 0.0, slower: float = 0.0) -> Soak:
    """Return a run in which a minute brings so many MB, handles and milliseconds a click."""
    moments = [float(at) for at in range(1000)]
    return Soak(
        done=tuple(Done("click", at, 0.1 + slower * at / 60e3) for at in moments),
        errors=(),
        samples=tuple(
            Sample(at, 500 + leak * at / 60 + at % 7, round(40 + handles * at / 60 + at % 3))
            for at in moments
        ),
    )


@pytest.mark.parametrize(
    ("soak", "fails"),
    [
        (_soak(), None),
        (_soak(leak=2.0), "memory"),
        (_soak(handles=3.0), "handles"),
        (_soak(slower=20.0), "p95"),
        (replace(_soak(), errors=("lost",)), "errors"),
    ],
)
def test_what_grows_is_found(soak: Soak, fails: str | None) -> None:
    found = [one.what for one in judge(soak, SETTINGS) if not one.holds]
    assert len(found) == (fails is not None)
    assert fails is None or fails in found[0]
    page = to_markdown(soak, SETTINGS, "some-model")
    assert page.count("| no |") == len(found) and "some-model" in page
    told = to_json(soak, SETTINGS, "some-model")
    assert [one["holds"] for one in told["verdicts"]].count(False) == len(found)
    assert len(told["samples"]) == 1000 and len(told["done"]["click"]) == 1000


def test_too_few_figures_are_no_proof() -> None:
    short = Soak(done=(), errors=(), samples=(Sample(0.0, 500.0, 40),))
    found = {one.what.split()[0]: one.holds for one in judge(short, SETTINGS)}
    assert found == {"no": True, "memory": False, "at": False, "p95": False}
    assert math.isnan(p95_of([], "click", 0.0, 1.0))


def test_a_soak_that_cannot_be_is_refused() -> None:
    for wrong in ({"warm_up": 1800.0}, {"people": 0}, {"pause": 0.0}, {"images": 3}):
        with pytest.raises(ConfigError):
            replace(SoakSettings(), **wrong)


@pytest.mark.soak
@pytest.mark.timeout(2700)
def test_half_an_hour_leaves_nothing_behind() -> None:
    if not shipped_path("kprism-compact").is_file():
        pytest.skip("the checkout ships no weights of kprism-compact")
    settings = SoakSettings()
    found = [one for one in judge(run_soak("kprism-compact", settings), settings) if not one.holds]
    assert found == []
