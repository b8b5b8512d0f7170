from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.inference.encoding_cache import EncodingCache, EncodingKey
from medprism.inference.zoom import Crop
from medprism.models.segmenter import Features

KEY = EncodingKey("image", 0, None, "rule", None, "weights")


def _key(slice_index: int) -> EncodingKey:
    return EncodingKey("image", slice_index, None, "rule", None, "weights")


def _features(value: float, floats: int = 10) -> Features:
    return Features((torch.full((1, 1, 1, floats), value),))


class _Encode:
    def __init__(self, value: float) -> None:
        self.value, self.calls = value, 0

    def __call__(self) -> Features:
        self.calls += 1
        return _features(self.value)


def test_a_value_is_made_once() -> None:
    cache, encode = EncodingCache(1000), _Encode(3.0)
    assert cache.get(KEY, encode) is cache.get(KEY, encode)
    assert encode.calls == 1
    assert cache.num_bytes == 40


@pytest.mark.parametrize(
    "other",
    [
        EncodingKey("other", 0, None, "rule", None, "weights"),
        EncodingKey("image", 1, None, "rule", None, "weights"),
        EncodingKey("image", 0, Crop(0, 0, 8, 9), "rule", None, "weights"),
        EncodingKey("image", 0, None, "other", None, "weights"),
        EncodingKey("image", 0, None, "rule", "task", "weights"),
        EncodingKey("image", 0, None, "rule", None, "other"),
        EncodingKey("image", 0, None, "rule", None, "weights", "mask"),
    ],
)
def test_everything_in_the_key_tells_encodings_apart(other: EncodingKey) -> None:
    cache = EncodingCache(1000)
    cache.get(KEY, _Encode(1.0))
    assert cache.get(other, _Encode(2.0)).maps[0].max() == 2.0


def test_the_least_recently_used_goes_first_and_the_budget_holds() -> None:
    cache = EncodingCache(120)
    for index in range(3):
        cache.get(_key(index), _Encode(float(index)))
    cache.get(_key(0), _Encode(9.0))
    cache.get(_key(3), _Encode(3.0))
    assert [_key(index) in cache for index in range(4)] == [True, False, True, True]
    assert cache.num_bytes == 120


def test_the_last_value_stays_even_above_the_budget() -> None:
    cache, encode = EncodingCache(0), _Encode(1.0)
    cache.get(KEY, encode)
    cache.get(KEY, encode)
    assert (encode.calls, len(cache)) == (1, 1)
    cache.get(_key(5), _Encode(2.0))
    assert KEY not in cache


def test_who_wants_what_another_thread_makes_waits_for_it() -> None:
    cache, begun, may_go = EncodingCache(1000), threading.Event(), threading.Event()
    encode = _Encode(3.0)

    def slowly() -> Features:
        begun.set()
        assert may_go.wait(10)
        return encode()

    with ThreadPoolExecutor(3) as people:
        first = people.submit(cache.get, KEY, slowly)
        assert begun.wait(10)
        others = [people.submit(cache.get, KEY, encode) for _ in range(2)]
        # Another encoding is not held up by it.
        cache.get(_key(5), _Encode(1.0))
        assert not any(one.done() for one in others)
        may_go.set()
        assert all(one.result(10) is first.result(10) for one in others)
    assert (encode.calls, cache.num_bytes) == (1, 80)


def test_where_one_fails_the_next_one_tries() -> None:
    cache, begun, may_fail = EncodingCache(1000), threading.Event(), threading.Event()
    encode = _Encode(3.0)

    def fail() -> Features:
        begun.set()
        assert may_fail.wait(10)
        raise RuntimeError("no memory")

    with ThreadPoolExecutor(2) as people:
        first = people.submit(cache.get, KEY, fail)
        assert begun.wait(10)
        second = people.submit(cache.get, KEY, encode)
        may_fail.set()
        with pytest.raises(RuntimeError, match="no memory"):
            first.result(10)
        assert second.result(10).maps[0].max() == 3.0
    assert encode.calls == 1


def test_clearing_forgets_everything() -> None:
    cache = EncodingCache(1000)
    cache.get(KEY, _Encode(1.0))
    cache.clear()
    assert (len(cache), cache.num_bytes) == (0, 0)


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ConfigError, match="give 0 or more"):
        EncodingCache(-1)
