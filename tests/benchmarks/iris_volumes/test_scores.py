from __future__ import annotations

import numpy as np
import pytest
from benchmarks.iris_volumes.scores import interval, paired_difference, score

PATIENTS = {"a": "p", "b": "q", "c": "r", "d": "r"}


def test_a_structure_that_the_query_does_not_show_is_not_scored() -> None:
    shown = np.zeros((2, 3, 4), bool)
    shown[0, 1] = True
    found = {"a": shown, "b": shown}
    assert score(found, {"a": shown, "b": np.zeros_like(shown)}) == {"a": 1.0}


def test_a_difference_is_paired_so_its_interval_is_narrower_than_either_mean() -> None:
    rng = np.random.default_rng(3)
    hard = {case: float(rng.uniform(0.2, 0.8)) for case in PATIENTS}
    first = {"liver": hard, "spleen": {"a": 0.5}}
    second = {"liver": {case: value - 0.1 for case, value in hard.items()}, "lung": {"a": 1.0}}
    gain = paired_difference(first, second, PATIENTS)
    assert gain is not None
    assert gain.mean == pytest.approx(0.1)
    assert gain.low == pytest.approx(0.1)
    assert gain.high == pytest.approx(0.1)
    alone = interval({"liver": hard}, PATIENTS)
    assert alone.low is not None
    assert alone.high is not None
    assert alone.high - alone.low > 0.1
    assert paired_difference(first, {"lung": {"a": 1.0}}, PATIENTS) is None
