from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import InternalError
from medprism.evaluation.results import ResultRow
from medprism.evaluation.sensitivity import sensitivity
from tests.evaluation.tables import make_row


def drawn(dataset: str, concept: str, values: tuple[float, ...], case: str) -> ResultRow:
    return make_row(
        dataset,
        case=case,
        patient=case,
        concept=concept,
        protocol="reference-draws",
        values=values,
        shots=(1,) * len(values),
    )


ROWS = [
    drawn("a", "liver", (0.5, 0.9, 0.2), "1"),
    drawn("a", "liver", (0.7, 0.1, 0.4, 1.0), "2"),
    drawn("a", "polyp", (0.2, 0.3, 0.8), "1"),
    drawn("b", "liver", (0.6, 0.6, 0.9), "3"),
]


def test_each_draw_is_an_evaluation_of_its_own() -> None:
    liver, polyp = np.array([[0.5, 0.9, 0.2], [0.7, 0.1, 0.4]]).mean(0), np.array([0.2, 0.3, 0.8])
    other = np.array([0.6, 0.6, 0.9])
    expected = np.stack([liver, polyp, other]).mean(0)
    found = sensitivity([*ROWS, make_row(values=(0.0,))])
    assert found.mean == pytest.approx(expected.mean())
    assert found.std == pytest.approx(np.std(expected))
    assert (found.low, found.high) == pytest.approx((expected.min(), expected.max()))
    assert (found.num_draws, found.num_pairs) == (3, 4)
    by_set = np.stack([np.stack([liver, polyp]).mean(0), other]).mean(0)
    assert sensitivity(ROWS, over_sets=True).high == pytest.approx(by_set.max())


def test_without_draws_nothing_can_be_said() -> None:
    with pytest.raises(InternalError, match="reference-draws"):
        sensitivity([make_row()])
    single = sensitivity([drawn("a", "liver", (0.4,), "1")])
    assert (single.std, single.num_draws) == (0.0, 1)
