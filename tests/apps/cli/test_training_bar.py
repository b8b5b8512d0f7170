from __future__ import annotations

import time

import pytest

from medprism.apps.cli.interrupt import Stop
from medprism.apps.cli.training_bar import TrainingBar
from medprism.training.figures import Shows
from tests.training.runs import small_config


def test_the_caption_has_the_loss_of_each_kind_and_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = TrainingBar(small_config(steps=4), Stop())
    assert isinstance(bar, Shows)
    assert bar.caption.startswith("loss not yet known")
    bar.scalars(1, {"loss/semantic": 1.25, "loss/in-context": 2.0, "dice/semantic": 0.5})
    # Two steps of three requests, then two of two, in five seconds.
    for done in range(1, 5):
        bar.report(done, 4)
    clock[0] = 105.0
    assert bar.caption == "loss in-context 2.000 semantic 1.250, 2.0 images/s"


def test_it_is_cancelled_once_somebody_asks_to_stop() -> None:
    stop = Stop()
    bar = TrainingBar(small_config(), stop)
    assert not bar.is_cancelled()
    stop.is_wanted = True
    assert bar.is_cancelled()
