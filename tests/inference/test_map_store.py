from __future__ import annotations

import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError, WriteError
from medprism.inference.map_store import MapStore


def _map(seed: int, shape: tuple[int, int] = (7, 11)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@settings(max_examples=30)
@given(budget=st.integers(0, 2000), reads=st.lists(st.integers(0, 11), max_size=40))
def test_every_map_comes_back_bit_for_bit_whatever_the_budget(
    budget: int, reads: list[int]
) -> None:
    store = MapStore(budget)
    shapes = [(7, 11), (3, 5), (16, 2)]
    numbers = [store.put(_map(seed, shapes[seed % 3])) for seed in range(12)]
    for index in [*reads, *range(12)]:
        found = store.get(numbers[index])
        np.testing.assert_array_equal(found, _map(index, shapes[index % 3]))
        assert store.num_bytes <= max(budget, found.nbytes)
    store.close()


def test_maps_cannot_be_changed_by_those_who_read_them() -> None:
    store = MapStore()
    number = store.put(_map(1))
    with pytest.raises(ValueError, match="read-only"):
        store.get(number)[0, 0] = 1


def test_nothing_is_written_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("wrote to disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    store = MapStore(2 * _map(0).nbytes)
    numbers = [store.put(_map(seed)) for seed in range(2)]
    np.testing.assert_array_equal(store.get(numbers[0]), _map(0))


def test_a_full_temporary_folder_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    store = MapStore(0)
    store.put(_map(0))
    with pytest.raises(WriteError, match=r"No space left on device; free space there or set"):
        store.put(_map(1))


def test_without_a_file_older_maps_are_let_go_and_asking_for_one_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("wrote to disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    store = MapStore(2 * _map(0).nbytes, spills=False)
    numbers = [store.put(_map(seed)) for seed in range(5)]
    assert store.num_bytes == 2 * _map(0).nbytes
    np.testing.assert_array_equal(store.get(numbers[4]), _map(4))
    with pytest.raises(ConfigError, match="was let go"):
        store.get(numbers[0])
