"""Random draws from counters: a draw depends on its name, never on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def counter_rng(seed: int, *counter: int | str) -> np.random.Generator:
    """Return a generator that depends only on the seed and the counter.

    The counter names the draw, such as (step, sample, "augment"). There is no state to save, and
    the result does not depend on workers, ranks or the order of calls.

    >>> int(counter_rng(7, 3, "flip").integers(100)) == int(counter_rng(7, 3, "flip").integers(100))
    True
    """
    key = hashlib.blake2b(repr((seed, *counter)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
