import numpy as np
import pytest

from medprism.core.randomness import counter_rng
from medprism.data.balance import Balance
from medprism.data.pools import Pool, Rows


def _pool(concept: int, dataset: str, rows: range) -> tuple[Pool, Rows]:
    numbers = np.array(rows, np.int64)
    zeros = np.zeros_like(numbers)
    pool = Pool(
        concept, dataset, (1,), numbers, zeros, zeros, zeros, zeros.astype(float), zeros[:0]
    )
    return pool, numbers


# Concept 0 has 100 images in set a and 4 in b; concepts 1 and 2 are on 25 images of a each.
CHOICES = [
    _pool(0, "a", range(100)),
    _pool(0, "b", range(100, 104)),
    _pool(1, "a", range(25)),
    _pool(2, "a", range(25, 50)),
]


def test_concept_first_follows_the_written_formula() -> None:
    odds = Balance(CHOICES, exponent=0.5, dataset_first=0.0).odds
    concepts = np.sqrt([104, 25, 25])
    concepts /= concepts.sum()
    # Within concept 0: sqrt(100) to sqrt(4).
    expected = [concepts[0] * 10 / 12, concepts[0] * 2 / 12, concepts[1], concepts[2]]
    np.testing.assert_allclose(odds, expected)


def test_dataset_first_counts_each_image_of_a_set_once() -> None:
    odds = Balance(CHOICES, exponent=0.5, dataset_first=1.0).odds
    first = 10 / 12
    inside = np.array([10, 5, 5]) / 20
    expected = [first * inside[0], 2 / 12, first * inside[1], first * inside[2]]
    np.testing.assert_allclose(odds, expected)


def test_a_mix_is_the_weighted_mean_and_sums_to_one() -> None:
    pure = [Balance(CHOICES, 0.7, share).odds for share in (0.0, 1.0)]
    mixed = Balance(CHOICES, 0.7, 0.3)
    np.testing.assert_allclose(mixed.odds, 0.7 * pure[0] + 0.3 * pure[1])
    assert mixed.odds.sum() == pytest.approx(1)
    assert sum(mixed.dataset_shares().values()) == pytest.approx(1)
    assert mixed.dataset_shares()["b"] == pytest.approx(mixed.odds[1])


def test_draws_follow_the_odds_and_reach_every_row() -> None:
    balance = Balance(CHOICES, 0.5, 0.5)
    rng = counter_rng(0, "draws")
    draws = [balance.draw(rng) for _ in range(6000)]
    for (pool, rows), odds in zip(CHOICES, balance.odds, strict=True):
        mine = [row for drawn, row in draws if drawn is pool]
        assert len(mine) / 6000 == pytest.approx(odds, abs=0.025)
        assert set(mine) == set(rows.tolist())


def test_nothing_to_draw_is_said() -> None:
    assert not Balance([], 0.5, 0.5).is_possible
    assert not Balance([_pool(0, "a", range(0))], 0.5, 0.5).is_possible
