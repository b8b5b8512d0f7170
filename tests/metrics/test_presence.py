from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medprism.core.errors import InternalError
from medprism.metrics.presence import false_positive_rate, presence_auc, presence_score


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 300), width=st.integers(1, 350))
@settings(max_examples=30, deadline=None)
def test_the_score_is_the_mean_of_the_largest(seed: int, height: int, width: int) -> None:
    probability = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    count = min(height * width, max(16, round(0.0005 * height * width)))
    expected = np.sort(probability.ravel())[::-1][:count].astype(np.float64).mean()
    score = presence_score(probability)
    assert score == pytest.approx(expected, abs=1e-9)
    assert 0 <= score <= 1


def test_a_structure_of_sixteen_pixels_is_seen_and_a_stray_pixel_is_not() -> None:
    probability = np.full((128, 160), 0.01, np.float32)
    probability[7, 9] = 1.0
    assert presence_score(probability) < 0.1
    probability[20:24, 31:35] = 1.0
    assert presence_score(probability) == pytest.approx(1.0)


@given(
    cases=st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=40).filter(
        lambda cases: len({present for _, present in cases}) == 2
    )
)
@settings(max_examples=60, deadline=None)
def test_auc_equals_scikit_learn(cases: list[tuple[int, bool]]) -> None:
    scores = [value / 9 for value, _ in cases]
    answers = [present for _, present in cases]
    assert presence_auc(scores, answers) == pytest.approx(roc_auc_score(answers, scores))


def test_false_positives_are_slices_with_enough_pixels() -> None:
    areas = [0, 1, 4, 5, 900]
    for minimum in (1, 2, 5, 1000):
        expected = np.mean(np.array(areas) >= minimum)
        assert false_positive_rate(areas, minimum) == pytest.approx(expected)


def test_questions_without_an_answer_are_refused() -> None:
    with pytest.raises(InternalError, match="at least one pixel"):
        presence_score(np.zeros((0, 5), np.float32))
    with pytest.raises(InternalError, match="2 present and 0 absent"):
        presence_auc([0.1, 0.2], [True, True])
    with pytest.raises(InternalError, match="1 scores"):
        presence_auc([0.1], [True, False])
    with pytest.raises(InternalError, match="at least one slice"):
        false_positive_rate([])
