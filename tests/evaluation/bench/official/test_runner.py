"""Messages both ways; what the adapters do is tested through a process."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.evaluation.bench.official.runner import (
    GREETING,
    Adapter,
    Array,
    Header,
    Verb,
    installed_version,
    pack,
    serve,
    unpack,
)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([[True, False, True]]),
        np.zeros((2, 0, 3), np.uint8),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
    ],
)
def test_an_array_comes_out_as_it_went_in(array: np.ndarray) -> None:
    line, content = pack({"do": "image", "name": "ä\n"}, array).split(b"\n", 1)
    header = json.loads(line)
    assert (header["do"], header["name"], header["bytes"]) == ("image", "ä\n", len(content))
    found = unpack(header, content)
    assert found is not None and found.dtype == array.dtype and found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_no_array_is_none_and_objects_are_refused() -> None:
    header = json.loads(pack({"do": "start"}))
    assert unpack(header, b"") is None
    objects = pack({}, np.array([None, 1], dtype=object)).split(b"\n", 1)
    with pytest.raises(ValueError, match="an array of"):
        unpack(json.loads(objects[0]), objects[1])


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["|b1", "<f4", ">i2", "|O", "<U3", "<f16", "f4"]) | st.text(),
        "shape": st.lists(st.integers(-2, 4), max_size=4) | st.text() | st.lists(st.text()),
    },
)


@settings(max_examples=80, deadline=None)
@given(HEADERS, st.binary(max_size=64))
def test_whatever_comes_is_an_array_of_numbers_or_a_value_error(
    header: dict[str, Any], content: bytes
) -> None:
    with suppress(ValueError):
        found = unpack(header, content)
        assert (found is None) == ("dtype" not in header and not content)
        if found is not None:
            assert list(found.shape) == header["shape"] and found.nbytes == len(content)
            assert found.dtype.kind in "biuf"


class Doubling(Adapter):
    """Doubles arrays, and fails on request."""

    def verbs(self) -> dict[str, Verb]:
        return {"double": self.double, "fail": self.fail}

    def double(self, header: Header, array: Any) -> tuple[Header, Array]:  # noqa: ANN401
        return {"by": header["by"]}, array * 2

    def fail(self, header: Header, array: Any) -> tuple[Header, Array]:  # noqa: ANN401
        raise RuntimeError("first\n second " + "x" * 900)


def test_requests_are_answered_in_turn_and_errors_are_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = pack({"do": "fail"}) + pack({"do": "double", "by": 2}, np.arange(3))
    replies = io.BytesIO()
    serve(Doubling(), io.BytesIO(asked + pack({"do": "unheard of"})), replies)
    replies.seek(0)
    assert replies.readline() == GREETING
    failed = json.loads(replies.readline())
    assert failed["error"].startswith("RuntimeError: first second xxx")
    assert len(failed["error"]) == 500 and failed["bytes"] == 0
    doubled = json.loads(replies.readline())
    assert doubled["by"] == 2
    np.testing.assert_array_equal(unpack(doubled, replies.read(doubled["bytes"])), [0, 2, 4])
    assert "KeyError" in json.loads(replies.readline())["error"]
    assert replies.read() == b""
    assert "Traceback" in capsys.readouterr().err


def test_the_first_name_that_is_installed_gives_the_version() -> None:
    assert installed_version(("no such package", "numpy")) == np.__version__
