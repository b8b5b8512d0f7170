import numpy as np
import pytest

from medprism.core.randomness import counter_rng
from medprism.data.pools import Pool
from medprism.data.reference import choose_references


def _pool(
    patients: list[int],
    positions: list[float] | None = None,
    views: list[int] | None = None,
    contents: list[int] | None = None,
) -> Pool:
    count = len(patients)
    return Pool(
        concept=0,
        dataset="set",
        label_ids=(1,),
        rows=np.arange(100, 100 + 2 * count, 2),
        patients=np.array(patients),
        contents=np.array(contents or range(count)),
        views=np.array(views or [0] * count),
        positions=np.array(positions or [np.nan] * count, float),
        absent=np.zeros(0, np.int64),
    )


def _drawn(pool: Pool, row: int, count: int = 1, draws: int = 60) -> set[int]:
    found: set[int] = set()
    for seed in range(draws):
        chosen = choose_references(counter_rng(seed, "ref"), pool, row, count)
        assert len(chosen) == count
        found |= set(chosen)
    return found


def test_references_come_from_other_patients() -> None:
    assert _drawn(_pool([0, 0, 1, 1, 2]), 100) == {104, 106, 108}


def test_one_patient_gives_another_image() -> None:
    assert _drawn(_pool([3, 3, 3]), 102) == {100, 104}


def test_a_single_row_refers_to_itself() -> None:
    assert _drawn(_pool([0]), 100, count=2) == {100}


def test_the_same_picture_under_another_name_is_no_reference() -> None:
    assert _drawn(_pool([0, 1, 2], contents=[5, 5, 6]), 100) == {104}


def test_the_view_is_kept_where_another_patient_has_it() -> None:
    assert _drawn(_pool([0, 1, 1, 2], views=[0, 0, 1, 1]), 100) == {102}
    assert _drawn(_pool([0, 1, 1], views=[0, 1, 1]), 100) == {102, 104}


def test_references_lie_near_the_same_position() -> None:
    count = 60
    positions = [n / (count - 1) for n in range(count)]
    pool = _pool(list(range(count)), positions)
    here = 100 + 2 * 30
    for row in _drawn(pool, here, draws=100):
        assert row != here
        assert abs(positions[(row - 100) // 2] - positions[30]) <= 0.1 + 1e-9


def test_with_few_slices_the_eight_nearest_serve() -> None:
    positions = [n / 19 for n in range(20)]
    pool = _pool(list(range(20)), positions)
    assert _drawn(pool, 100, draws=200) == {100 + 2 * n for n in range(1, 9)}


def test_unknown_positions_are_not_preferred() -> None:
    pool = _pool([0, 1, 2, 3], [0.5, np.nan, 0.45, np.nan])
    assert _drawn(pool, 100) == {104}
    assert _drawn(pool, 102) == {100, 104, 106}


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (4, 4), (7, 4)])
def test_rows_repeat_only_when_there_are_too_few(count: int, expected: int) -> None:
    chosen = choose_references(counter_rng(0, "many"), _pool([0, 1, 2, 3, 4]), 100, count)
    assert len(chosen) == count
    assert len(set(chosen)) == expected
