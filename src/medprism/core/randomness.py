"""Random draws from counters: a draw depends on its name, never on what was drawn before."""

from __future__ import annotations

import hashlib
from operator import index

import numpy as np


def counter_rng(seed: int, *counter: int | str) -> np.random.Generator:
    """Return a generator that depends only on the seed and the counter.

    The counter names the draw, such as (step, sample, "augment"). There is no state to save, and
    the result does not depend on workers, ranks or the order of calls.

    >>> int(counter_rng(7, 3, "flip").integers(100)) == int(counter_rng(7, 3, "flip").integers(100))
    True
    """
    # A NumPy integer prints differently from an int of the same value.
    names = [part if isinstance(part, str) else index(part) for part in (seed, *counter)]
    key = hashlib.blake2b(repr(tuple(names)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
