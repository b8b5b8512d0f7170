from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.apps.workbench.failure import BadRequestError
from medprism.apps.workbench.nninteractive.packing import DTYPES, pack, unpack
from medprism.core.randomness import counter_rng

serialization = pytest.importorskip(
    "nnInteractive.inference.remote.serialization", reason="nninteractive-client is not installed"
)
LIMIT = 10**6


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_arrays_go_both_ways_as_the_client_packs_them(name: str) -> None:
    array = counter_rng(3, name).integers(0, 2, (5, 7, 3)).astype(name)
    assert np.array_equal(unpack(serialization.pack_array(array), LIMIT), array)
    back = serialization.unpack_array(pack(array))
    assert back.dtype == array.dtype and np.array_equal(back, array)


def test_zeros_and_parts_of_arrays_survive() -> None:
    empty = np.zeros((3, 0, 4), np.uint8)
    assert unpack(pack(empty), LIMIT).shape == (3, 0, 4)
    view = np.arange(60, dtype=np.int16).reshape(3, 4, 5)[:, ::2, 1:]
    assert np.array_equal(serialization.unpack_array(pack(view)), view)
    assert not unpack(serialization.pack_array(np.zeros((17, 31), np.uint8)), LIMIT).any()


def test_an_array_over_the_limit_is_refused_before_it_is_unpacked() -> None:
    content = pack(np.zeros((100, 100), np.float32))
    with pytest.raises(BadRequestError, match="larger than"):
        unpack(content, 39_999)
    # A header that promises what no memory holds.
    huge = content[:8] + b"float32" + struct.pack("<2q", 2**40, 2**20)
    with pytest.raises(BadRequestError, match="larger than"):
        unpack(huge, LIMIT)
    negative = content[:8] + b"float32" + struct.pack("<2q", -4, -4)
    with pytest.raises(BadRequestError):
        unpack(negative, LIMIT)


CONTENT = pack(np.arange(24, dtype=np.int16).reshape(2, 3, 4))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_an_array(data: st.DataObject) -> None:
    broken = bytearray(CONTENT[: data.draw(st.integers(0, len(CONTENT)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack(bytes(broken), LIMIT)
    except BadRequestError:
        return
    assert found.nbytes <= LIMIT
