"""Files with some bytes changed: read, they are a mask or one sentence."""

from __future__ import annotations

import warnings
from pathlib import Path

from hypothesis import strategies as st

from medprism.core.errors import MedprismError
from medprism.core.image import Image
from medprism.io.mask_file import MaskFile
from medprism.io.reader import read_mask


def mutations() -> st.SearchStrategy[list[tuple[float, int]]]:
    """Draw places, as shares of the file, and what stands there afterwards."""
    place = st.one_of(st.floats(0, 1, exclude_max=True), st.floats(0, 0.15))
    return st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=8)


def check_mask(
    path: Path, content: bytes, mutation: list[tuple[float, int]], like: Image | None
) -> None:
    """Write the changed bytes and read them: a mask, or an error of ours that names the file."""
    changed = bytearray(content)
    for share, value in mutation:
        changed[int(share * len(changed))] = value
    path.write_bytes(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = read_mask(path, like)
        except MedprismError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error)
        else:
            assert isinstance(found, MaskFile)
            found.to_labels()
