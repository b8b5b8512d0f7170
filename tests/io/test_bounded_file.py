from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.io.bounded_file import BoundedFile

CONTENT = bytes(range(200))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["read", "seek", "peek"]), st.integers(0, 260)), max_size=8
    )
)
def test_it_reads_what_an_ordinary_file_reads(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    with path.open("rb") as plain, BoundedFile(path) as bounded:
        for step, number in steps:
            if step == "read":
                assert bounded.read(number) == plain.read(number)
            elif step == "seek":
                assert bounded.seek(number) == plain.seek(number)
            assert bounded.tell() == plain.tell()
        assert bounded.read() == plain.read()
        assert bounded.name == path


@pytest.mark.parametrize("size", [2**31, 2**40, 2**62])
def test_a_length_that_no_file_has_costs_no_memory(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    with BoundedFile(path) as file:
        file.seek(50)
        tracemalloc.start()
        assert file.read(size) == CONTENT[50:]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**16
        assert file.read(size) == b"" and file.read(None) == b""
        file.seek(500)
        assert file.read(3) == b""
