"""Damage as it happens to files: bits that flip, numbers that grow, pieces that are lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medprism.core.randomness import counter_rng

# Headers lie in front; what happens there matters most.
HEAD = 700
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutate(content: bytes, number: int) -> bytes:
    """Return mutation `number` of a file; the same number gives the same bytes."""
    rng = counter_rng(number, len(content), "damage")
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if changed:
            KINDS[int(rng.integers(len(KINDS)))](changed, rng)
    return bytes(changed)


def _place(changed: bytearray, rng: np.random.Generator) -> int:
    end = min(len(changed), HEAD) if rng.random() < 0.6 else len(changed)
    return int(rng.integers(end))


def _flip_bit(changed: bytearray, rng: np.random.Generator) -> None:
    changed[_place(changed, rng)] ^= 1 << int(rng.integers(8))


def _set_byte(changed: bytearray, rng: np.random.Generator) -> None:
    changed[_place(changed, rng)] = int(rng.integers(256))


def _set_number(changed: bytearray, rng: np.random.Generator) -> None:
    """Put an extreme number over two, four or eight bytes, in either byte order."""
    size = int(rng.choice([2, 4, 8]))
    value = EXTREMES[int(rng.integers(len(EXTREMES)))] % (1 << (8 * size))
    order = "little" if rng.random() < 0.5 else "big"
    at = _place(changed, rng)
    changed[at : at + size] = value.to_bytes(size, order)


def _grow_digits(changed: bytearray, rng: np.random.Generator) -> None:
    """Make a number in a text header longer, negative or no number."""
    digits = [at for at, byte in enumerate(changed[:HEAD]) if chr(byte).isdigit()]
    if digits:
        at = digits[int(rng.integers(len(digits)))]
        changed[at:at] = [b"9999999", b"-", b".", b"e9", b"nan", b" "][int(rng.integers(6))]


def _cut_end(changed: bytearray, rng: np.random.Generator) -> None:
    del changed[int(rng.integers(len(changed))) :]


def _cut_out(changed: bytearray, rng: np.random.Generator) -> None:
    at = _place(changed, rng)
    del changed[at : at + int(rng.integers(1, 40))]


def _repeat(changed: bytearray, rng: np.random.Generator) -> None:
    at = _place(changed, rng)
    changed[at:at] = changed[at : at + int(rng.integers(1, 60))] * int(rng.integers(1, 4))


def _blank(changed: bytearray, rng: np.random.Generator) -> None:
    at, size = _place(changed, rng), int(rng.integers(1, 60))
    changed[at : at + size] = bytes([int(rng.choice([0, 255]))]) * len(changed[at : at + size])


def _fill_random(changed: bytearray, rng: np.random.Generator) -> None:
    at, size = _place(changed, rng), int(rng.integers(1, 20))
    changed[at : at + size] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()


KINDS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip_bit,
    _set_byte,
    _set_byte,
    _set_number,
    _set_number,
    _grow_digits,
    _cut_end,
    _cut_out,
    _repeat,
    _blank,
    _fill_random,
)
