from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from medprism.core.errors import ImageReadError
from medprism.io.slide_level import (
    downsample_between,
    level_pages,
    list_levels,
    refuse_large_slide,
    slide_levels,
)
from tests.io.slides import TILE, WRITERS, pyramid, scene, write_pyramid


@given(
    st.tuples(st.integers(600, 10**6), st.integers(600, 10**6)),
    st.sampled_from([1, 2, 3, 4, 8, 16]),
    st.tuples(st.booleans(), st.booleans()),
)
def test_whole_downsamples_are_found_however_the_sides_are_rounded(
    full: tuple[int, int], down: int, is_up: tuple[bool, bool]
) -> None:
    small = tuple(
        -(-side // down) if up else side // down for side, up in zip(full, is_up, strict=True)
    )
    assert downsample_between(full, (small[0], small[1])) == (down, down)


@pytest.mark.parametrize("kind", WRITERS)
def test_thumbnails_and_labels_are_no_levels(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.tif"
    WRITERS[kind](path, pyramid())
    with tifffile.TiffFile(path) as file:
        pages = level_pages(file)
        levels = slide_levels(pages)
    assert [level.shape for level in levels] == [(301, 477), (150, 238), (75, 119)]
    assert list_levels(levels).startswith("0: 301 x 477 pixels of ")


def test_tiled_pages_of_another_aspect_are_no_levels_and_the_order_does_not_matter(
    tmp_path: Path,
) -> None:
    path, levels = tmp_path / "s.tif", pyramid()
    write_pyramid(path, [levels[0], scene((100, 40)), levels[2], levels[1]])
    with tifffile.TiffFile(path) as file:
        assert [level.shape[0] for level in slide_levels(level_pages(file))] == [301, 150, 75]


def test_only_slides_of_several_levels_are_refused_as_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.tif"
    for levels, limit, is_refused in (
        (pyramid(), 301 * 477 - 1, True),
        (pyramid(), 301 * 477, False),
        (pyramid()[:1], 100, False),
    ):
        write_pyramid(path, levels)
        monkeypatch.setattr("medprism.io.slide_level.LARGEST_PICTURE", limit)
        with tifffile.TiffFile(path) as file:
            if is_refused:
                with pytest.raises(ImageReadError, match=f"more than {limit} pixels.*--level"):
                    refuse_large_slide(file)
            else:
                refuse_large_slide(file)


def test_planes_of_channels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((4, 90, 70), np.uint8), tile=TILE, photometric="minisblack")
    with (
        tifffile.TiffFile(path) as file,
        pytest.raises(ImageReadError, match="4 pictures of its full size"),
    ):
        level_pages(file)
