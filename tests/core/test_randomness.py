from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from medprism.core.randomness import counter_rng


def test_a_draw_depends_on_its_name_alone() -> None:
    first = counter_rng(7, 3, "flip").random(5)
    counter_rng(7, 4, "flip").random(100)
    np.testing.assert_array_equal(first, counter_rng(7, 3, "flip").random(5))


def test_a_draw_is_the_same_in_another_process() -> None:
    code = (
        "from medprism.core.randomness import counter_rng; "
        "print(counter_rng(7, 3, 'flip').integers(2**62))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == int(counter_rng(7, 3, "flip").integers(2**62))


def test_the_stream_is_pinned() -> None:
    assert counter_rng(7, 3, "flip").integers(1000, size=4).tolist() == [773, 994, 638, 704]


def test_other_names_give_other_draws() -> None:
    names = [(s, c, p) for s in range(4) for c in range(4) for p in ("flip", "blur")]
    draws = {int(counter_rng(s, c, p).integers(2**62)) for s, c, p in names}
    assert len(draws) == len(names)
    assert counter_rng(1, 23).random() != counter_rng(12, 3).random()
    assert counter_rng(1, "2").random() != counter_rng(1, 2).random()


def test_a_numpy_integer_counts_as_its_value() -> None:
    undecorated = getattr(counter_rng, "__wrapped__", counter_rng)
    assert undecorated(7, np.int64(3)).random() == counter_rng(7, 3).random()


def test_a_fraction_is_no_counter() -> None:
    undecorated = getattr(counter_rng, "__wrapped__", counter_rng)
    with pytest.raises(TypeError):
        undecorated(7, 0.5)


def test_draws_are_uniform() -> None:
    draws = np.array([counter_rng(0, n).random() for n in range(2000)])
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(draws.std() - np.sqrt(1 / 12)) < 0.02
